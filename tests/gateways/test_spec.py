"""What a spec says, and what it must not say."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from across.gateways import PopenGateway, SocketGateway, Spec, SshGateway
from across.gateways.connect import command
from across.gateways.execnet import XSpec
from across.gateways.spec import KEYS


def wrong(value: Any) -> Any:
    return value


def test_keys_are_attributes() -> None:
    spec = Spec('ssh=me@wonderland//python=python3.9 -u//id=alice//chdir=work//nice=5')
    assert (spec.ssh, spec.id, spec.chdir, spec.nice) == ('me@wonderland', 'alice', 'work', '5')
    assert spec.python_command('python3') == ['python3.9', '-u']
    assert (spec.popen, spec.via, spec.env) == (None, None, {})


def test_key_without_value_is_true() -> None:
    assert Spec('popen').popen is True


def test_values_may_have_equals_signs() -> None:
    spec = Spec('popen//env:A=b=c//env:EMPTY=')
    assert spec.env == {'A': 'b=c', 'EMPTY': ''}


def test_equality_goes_by_the_text() -> None:
    assert Spec('popen//id=a') == Spec('popen//id=a') != Spec('popen//id=b')
    assert len({Spec('popen'), Spec('popen')}) == 1
    assert repr(Spec('popen')) == "<Spec 'popen'>"


def test_spec_of_values() -> None:
    spec = Spec.of(popen=True, nice=3, chdir=None, env={'LANG': 'C'})
    assert str(spec) == 'popen//nice=3//env:LANG=C'
    with pytest.raises(ValueError, match='separates the parts'):
        Spec.of(popen=True, chdir='a//b')


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('popen//pyton=x', "'popen//pyton=x' has the unknown key 'pyton'; did you mean 'python'?"),
        ('popen//colour=red', "has the unknown key 'colour'; there are popen, ssh, .* env:NAME"),
        ('popen//id=a//id=b', "'popen//id=a//id=b' gives the key 'id' twice"),
        ('popen//popen', "gives the key 'popen' twice"),
        ('popen//env:A=1//env:A=2', "gives the key 'env:A' twice"),
        ('', 'the spec is empty; popen, ssh=HOST and socket=HOST:PORT are the kinds'),
        ('ssh', "'ssh' needs a value: a host"),
        ('popen//python=', "'python' needs a value: the interpreter"),
        ('popen//env:A', 'set by env:NAME=value'),
        ('popen//env:=x', 'set by env:NAME=value'),
        ('popen//nice=very', "nice must be a whole number, not 'very'"),
        ('popen//execmodel=gevent', "thread or main_thread_only, not 'gevent'"),
        ('popen//ssh=wonderland', 'names 2 kinds of gateways, give one: popen, ssh'),
    ],
)
def test_refusal(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Spec(text)


def test_other_types_are_refused() -> None:
    with pytest.raises(TypeError, match='a spec is a str, not int'):
        Spec(5)  # type: ignore[arg-type]
    with pytest.raises(AttributeError, match="a spec has no 'colour'"):
        Spec('popen').colour


@pytest.mark.parametrize(
    ('make', 'message'),
    [
        (lambda: PopenGateway(wrong(3)), r'python must be a str \(the interpreter.*\), not 3'),
        (lambda: PopenGateway(chdir=True), r'chdir must be a str \(the directory.*\), not True'),
        (lambda: SocketGateway(wrong(None), 80), 'host must be a str, not NoneType'),
        (lambda: SshGateway(wrong(5)), r'ssh must be a str \(a host, .*\), not 5'),
    ],
)
def test_settings_of_the_wrong_type(make: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        make()


@pytest.mark.parametrize(
    ('text', 'address'),
    [
        ('socket=wonderland:80', ('wonderland', 80)),
        ('socket=:80', ('localhost', 80)),
        ('socket=[::1]:80', ('::1', 80)),
    ],
)
def test_address(text: str, address: tuple[str, int]) -> None:
    assert Spec(text).address() == address


@pytest.mark.parametrize('socket', ['wonderland', 'wonderland:http', 'wonderland:99999'])
def test_address_that_is_none(socket: str) -> None:
    with pytest.raises(ValueError, match=f"socket must be host:port, not '{socket}'"):
        Spec(f'socket={socket}').address()


def test_command_on_this_machine() -> None:
    words = command(Spec('popen//python=py -X dev//dont_write_bytecode//env:A=b'), 'python3')
    assert words[:6] == ['env', 'A=b', 'py', '-X', 'dev', '-B']
    assert words[6] == '-c'


def test_reference_has_all_keys() -> None:
    page = Path(__file__).parents[2] / 'docs' / 'reference' / 'gateways.rst'
    listed = re.findall(r'^``([\w:]+)``\n    (.*)$', page.read_text(), re.MULTILINE)
    assert listed[:-1] == list(KEYS.items())
    assert listed[-1][0] == 'env:NAME'


def test_spec_without_a_kind() -> None:
    with pytest.raises(ValueError, match="'id=a' names no kind of gateway"):
        command(Spec('id=a'), 'python3')


def test_stand_in_keeps_unknown_keys() -> None:
    spec = XSpec('popen//colour=red//fast')
    assert (spec.colour, spec.fast, spec.missing) == ('red', True, None)
    spec.chdir = 'elsewhere'
    assert str(XSpec(f'execmodel=main_thread_only//{spec}')).count('//') == 3


@pytest.mark.parametrize('text', ['popen//id=a//id=b', 'socket=a:1//installvia=b'])
def test_stand_in_refuses_the_rest(text: str) -> None:
    with pytest.raises(ValueError, match=r"'id' twice|does not have 'installvia'"):
        XSpec(text)
