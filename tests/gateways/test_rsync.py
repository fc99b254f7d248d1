"""Copies of directories over gateways."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest

from across.gateways import Gateway, GatewayGoneError, Group, RemoteError, RSync
from support.waiting import SECOND

LIMIT = 10 * SECOND


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A directory with something of everything."""
    top = tmp_path / 'source'
    (top / 'sub' / 'empty').mkdir(parents=True)
    (top / 'file').write_bytes(b'content')
    (top / 'nothing').touch()
    (top / 'sub' / 'script').write_text('#!/bin/sh\n')
    (top / 'sub' / 'script').chmod(0o755)
    (top / 'sub' / 'large').write_bytes(os.urandom(700_000))
    (top / 'sub' / 'ümläut \udcff').write_text('odd name')
    (top / 'beside').symlink_to('file')
    (top / 'inside').symlink_to(top / 'sub' / 'script')
    (top / 'outside').symlink_to('/nowhere/at/all')
    return top


def copy(
    source: Path, target: Path, *gateways: Gateway, delete: bool = False, **arguments: Any
) -> list[str]:
    """Copy, and return what was sent."""
    sent: list[str] = []

    class Recorder(RSync):
        def _report_send_file(self, gateway: Gateway, modified_rel_path: str) -> None:
            sent.append(modified_rel_path)

    rsync = Recorder(source, **arguments)
    for gateway in gateways:
        where = target if len(gateways) == 1 else target / gateway.id
        rsync.add_target(gateway, where, delete=delete)
    rsync.send()
    return sent


def tree(top: Path) -> dict[str, object]:
    """What there is below a directory."""
    found: dict[str, object] = {}
    for path in sorted(top.rglob('*')):
        status = path.lstat()
        kind: object = 'directory', stat.S_IMODE(status.st_mode), status.st_mtime_ns
        if path.is_symlink():
            kind = os.readlink(path).replace(str(top), 'TOP')
        elif path.is_file():
            kind = path.read_bytes(), stat.S_IMODE(status.st_mode), status.st_mtime_ns
        found[str(path.relative_to(top))] = kind
    return found


def test_copy(gateway: Gateway, source: Path, tmp_path: Path) -> None:
    target = tmp_path / 'deep' / 'target'
    sent = copy(source, target, gateway)
    assert sorted(sent) == sorted(
        ['file', 'nothing', 'sub/script', 'sub/large', 'sub/ümläut \udcff']
    )
    assert tree(target) == tree(source)
    assert os.readlink(target / 'inside') == str(target / 'sub' / 'script')
    assert copy(source, target, gateway) == []


def test_only_what_differs_is_sent(gateway: Gateway, source: Path, tmp_path: Path) -> None:
    target = tmp_path / 'target'
    copy(source, target, gateway)
    (source / 'file').write_bytes(b'CONTENT')  # the same size
    os.utime(source / 'sub' / 'script', ns=(5, 5))  # the same content
    (source / 'nothing').chmod(0o600)
    (target / 'sub' / 'large').unlink()
    assert sorted(copy(source, target, gateway)) == ['file', 'sub/large']
    assert tree(target) == tree(source)


def test_times_of_directories(gateway: Gateway, source: Path, tmp_path: Path) -> None:
    """What is put into them over there, now or later, does not count."""
    target = tmp_path / 'target'
    folders = ('sub/empty', 'sub', '.')
    for _ in range(2):
        for number, folder in enumerate(folders):
            os.utime(source / folder, ns=(number, 10**9 * (number + 1)))
        copy(source, target, gateway)
        times = [(target / folder).stat().st_mtime_ns for folder in folders]
        assert times == [10**9, 2 * 10**9, 3 * 10**9]
        (source / 'sub' / 'new').write_text('x')


def test_other_kinds_are_replaced(gateway: Gateway, source: Path, tmp_path: Path) -> None:
    target = tmp_path / 'target'
    (target / 'file' / 'was').mkdir(parents=True)
    (target / 'file' / 'was').chmod(0)
    (target / 'sub').write_text('a file')
    (target / 'beside').mkdir()
    (target / 'nothing').symlink_to('/etc/hostname')
    copy(source, target, gateway)
    assert tree(target) == tree(source)


def test_delete(gateway: Gateway, source: Path, tmp_path: Path) -> None:
    target = tmp_path / 'target'
    copy(source, target, gateway)
    (target / 'more' / 'below').mkdir(parents=True)
    (target / 'sub' / 'more').write_text('x')
    (target / 'link').symlink_to(source)
    copy(source, target, gateway)
    assert (target / 'more' / 'below').exists()
    copy(source, target, gateway, delete=True)
    assert tree(target) == tree(source)
    assert (source / 'file').exists()  # the link was removed, not what it leads to


@pytest.mark.parametrize('width', [2, 16])
def test_many_targets(
    group: Group, source: Path, tmp_path: Path, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the same time, or some after the others have been served."""
    monkeypatch.setattr('across.gateways.rsync._WIDTH', width)
    gateways = [group.makegateway() for _ in range(3)]
    copy(source, tmp_path / 'target', *gateways)
    for gateway in gateways:
        assert tree(tmp_path / 'target' / gateway.id) == tree(source)


def test_more_files_than_a_window_holds(gateway: Gateway, tmp_path: Path) -> None:
    source = tmp_path / 'source'
    source.mkdir()
    for number in range(2500):
        (source / str(number)).write_text('x')
    assert len(copy(source, tmp_path / 'target', gateway)) == 2500
    assert copy(source, tmp_path / 'target', gateway) == []


def test_filter(gateway: Gateway, source: Path, tmp_path: Path) -> None:
    class Picky(RSync):
        def filter(self, path: str) -> bool:
            return os.path.basename(path) not in ('sub', 'inside')

    rsync = Picky(source)
    rsync.add_target(gateway, tmp_path / 'target')
    rsync.send()
    assert set(tree(tmp_path / 'target')) == {'file', 'nothing', 'beside', 'outside'}


def test_callbacks(gateway: Gateway, source: Path, tmp_path: Path) -> None:
    events: list[object] = []
    rsync = RSync(source, callback=lambda kind, size, channel: events.append((kind, size)))
    rsync.add_target(gateway, tmp_path / 'target', finishedcallback=lambda: events.append('done'))
    rsync.send()
    assert events[0] == ('list', 700_000 + 7 + 0 + 10 + 8)
    assert sorted(events[1:-1]) == [  # type: ignore[type-var]
        ('ack', 0),
        ('ack', 7),
        ('ack', 8),
        ('ack', 10),
        ('ack', 700_000),
    ]
    assert events[-1] == 'done'


def test_verbose(gateway: Gateway, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / 'one'
    source.write_text('a single file')
    rsync = RSync(source, verbose=True)
    rsync.add_target(gateway, tmp_path / 'two')
    rsync.send()
    assert (tmp_path / 'two').read_text() == 'a single file'
    assert capsys.readouterr().out == 'gw0 <= \n'


def test_relative_target(group: Group, source: Path, tmp_path: Path) -> None:
    gateway = group.makegateway(f'popen//chdir={tmp_path}')
    rsync = RSync(source)
    rsync.add_target(gateway, 'copy')
    rsync.send()
    assert tree(tmp_path / 'copy') == tree(source)


def test_directory_that_may_not_be_written(gateway: Gateway, source: Path, tmp_path: Path) -> None:
    (source / 'sub').chmod(0o555)
    try:
        copy(source, tmp_path / 'target', gateway)
        (source / 'sub' / 'script').write_text('changed')
        copy(source, tmp_path / 'target', gateway)
        assert tree(tmp_path / 'target') == tree(source)
        assert stat.S_IMODE((tmp_path / 'target' / 'sub').stat().st_mode) == 0o555
    finally:
        (source / 'sub').chmod(0o755)
        (tmp_path / 'target' / 'sub').chmod(0o755)


def test_what_cannot_be_copied(gateway: Gateway, source: Path, tmp_path: Path) -> None:
    os.mkfifo(source / 'pipe')
    with pytest.raises(ValueError, match=r'cannot copy .*/pipe: it is neither a file nor'):
        copy(source, tmp_path / 'target', gateway)
    with pytest.raises(FileNotFoundError):
        copy(tmp_path / 'missing', tmp_path / 'target', gateway)
    with pytest.raises(OSError, match='no target to send to'):
        RSync(source).send()
    RSync(source).send(raises=False)


def test_target_that_fails(group: Group, gateway: Gateway, source: Path, tmp_path: Path) -> None:
    """The others are served all the same."""
    other = group.makegateway()
    rsync = RSync(source)
    rsync.add_target(gateway, '/dev/null/nowhere')
    rsync.add_target(other, tmp_path / 'target')
    with pytest.raises(RemoteError, match='/dev/null'):
        rsync.send()
    assert tree(tmp_path / 'target') == tree(source)


def test_gateway_that_goes(gateway: Gateway, source: Path, tmp_path: Path) -> None:
    rsync = RSync(source, callback=lambda *_: gateway.kill())
    rsync.add_target(gateway, tmp_path / 'target')
    with pytest.raises(GatewayGoneError):
        rsync.send()


def test_file_that_vanishes(gateway: Gateway, source: Path, tmp_path: Path) -> None:
    class Remover(RSync):
        def filter(self, path: str) -> bool:
            if path.endswith('/script'):  # the other one has been listed
                (source / 'sub' / 'large').unlink()
            return True

    rsync = Remover(source)
    rsync.add_target(gateway, tmp_path / 'target')
    rsync.send()
    found, left = tree(tmp_path / 'target'), tree(source)
    del found['sub'], left['sub']  # whose time has changed since
    assert found == left
