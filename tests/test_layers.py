"""The structure of the package: who imports whom, what may travel to a bare peer, what loads when.

Each rule is a function from sources to faults, and is itself tried on sources that break it.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import across
from support.imports import Import, Sources, find_cycle, imports_of, read_sources
from support.interpreters import find_interpreter

if TYPE_CHECKING:
    from collections.abc import Callable

PACKAGE = Path(across.__file__).parent
SOURCES = read_sources(PACKAGE)
LONGEST_FILE = 400

# Lower layers first. Parts of one layer never import each other, except in the PLAIN_LAYERS.
CORE_LAYERS = (
    {'errors', 'options', 'debug', 'interrupts'},
    {'wire', 'transports', 'threads', 'values'},
    {'travel'},
    # What one connection consists of, split by task.
    {'calls', 'closing', 'dispatcher', 'ending', 'execution', 'forwarding', 'futures'}
    | {'handlers', 'handshake', 'idle', 'lifetime', 'link', 'main_thread', 'operations'}
    | {'payloads', 'posts', 'pulse', 'reader', 'sender', 'spawning', 'states', 'streams'},
    {'connection', 'serving'},
)
PLAIN_LAYERS = (0, 3, 4)
# Between siblings, all the same: records without behaviour, which would have to be said twice.
ALLOWED_SIDEWAYS = {
    ('values', 'across._core.wire.frames'): 'the kinds of buffers are part of the frame format',
    ('values', 'across._core.threads.context'): 'thread-local data: which link packs or unpacks',
}
UPPER_LAYERS = (
    {'logging', 'servers', 'aio', 'ssh'},
    {'gateways', 'remotify', 'remotely', 'objects'},
    {'cli'},
    {'__main__'},
)
# What the parts above the core may import of it, beyond the public names of `across`.
ALLOWED_INSIDE = {
    'aio': ('across._core.wire', 'across._core.values'),
    # A child process does the same as a bare peer, and needs the same sockets as any connection.
    # A server refuses a client ahead of any handshake, in its words; and it begins sessions where a
    # Ctrl-C may come.
    'servers': (
        *('across._core.serving', 'across._core.transports.sockets'),
        *('across._core.wire.greeting', 'across._core.interrupts'),
    ),
}
# The wire format does no I/O, waits for nothing and knows nothing of objects.
BANNED_ON_THE_WIRE = {'socket', 'select', 'threading', 'time', 'pickle', 'logging'}
# In the standard library of some supported version, missing in another one.
NOT_IN_EVERY_VERSION = {
    *('graphlib', 'tomllib', 'zoneinfo'),
    *('asynchat', 'asyncore', 'cgi', 'cgitb', 'crypt', 'distutils', 'imp', 'lib2to3', 'nntplib'),
    *('pipes', 'smtpd', 'telnetlib', 'uu', 'xdrlib'),
}
# Dependencies of the installed package: imported inside one function each, which can do without.
LATE_DEPENDENCIES = {'cloudpickle', 'tblib'}
# Slow to load, and needed by a part of the calls only.
HEAVY = {
    *('argparse', 'asyncio', 'cloudpickle', 'concurrent.futures', 'dataclasses', 'difflib'),
    *('enum', 'importlib.resources', 'inspect', 'linecache', 'logging', 'pickle', 're', 'ssl'),
    *('subprocess', 'tblib', 'tempfile', 'traceback', 'unittest', 'uuid'),
}


def core_layer(name: str) -> int | None:
    part = name.split('.')[2]
    return next((i for i, layer in enumerate(CORE_LAYERS) if part in layer), None)


def upper_layer(name: str) -> int | None:
    part = name.split('.')[1]
    return next((i for i, layer in enumerate(UPPER_LAYERS) if part in layer), None)


def in_core(name: str) -> bool:
    return name.startswith('across._core.')


def each_import(sources: Sources) -> list[tuple[str, Import]]:
    return [(name, each) for name in sources for each in imports_of(name, sources)]


def arrow_faults(sources: Sources) -> list[str]:
    """Imports of ours that point upwards, sideways or past the public names."""
    return [
        f'{name}:{each.line} imports {each.target}: {why}'
        for name, each in each_import(sources)
        if each.target.split('.')[0] == 'across' and (why := _arrow_fault(name, each.target))
    ]


def _arrow_fault(name: str, target: str) -> str | None:
    if name == 'across':
        return None if target.startswith('across._core') else 'across itself imports only its core'
    if name == 'across._core':
        return 'the package of the core imports nothing'
    if in_core(name):
        return _core_arrow_fault(name, target)
    return _upper_arrow_fault(name, target)


def _core_arrow_fault(name: str, target: str) -> str | None:
    if target == 'across._core' and core_layer(name) == 2:
        return None  # the list of what travels
    if not in_core(target):
        return 'the core imports nothing from above it'
    mine, other = core_layer(name), core_layer(target)
    if mine is None or other is None:
        return 'give both a place in CORE_LAYERS'
    if other > mine:
        return 'points upwards'
    same_part = name.split('.')[2] == target.split('.')[2]
    if other == mine and not same_part and mine not in PLAIN_LAYERS:
        allowed = (name.split('.')[2], target) in ALLOWED_SIDEWAYS
        return None if allowed else 'points sideways'
    return None


def _upper_arrow_fault(name: str, target: str) -> str | None:
    if target == 'across':
        return None
    part = name.split('.')[1]
    if target.startswith('across._core'):
        allowed = ALLOWED_INSIDE.get(part, ())
        fine = any(target.startswith(each) for each in allowed)
        return None if fine else 'only public names above the core'
    mine, other = upper_layer(name), upper_layer(target)
    if mine is None or other is None:
        return 'give both a place in UPPER_LAYERS'
    if other > mine:
        return 'points upwards'
    if other == mine and part != target.split('.')[1]:
        return 'points sideways'
    return None


def cycle_faults(sources: Sources) -> list[str]:
    """An import cycle, through functions too; imports that never run do not count."""
    graph: dict[str, set[str]] = {name: set() for name in sources}
    for name, each in each_import(sources):
        # A module inside a package runs after the package has begun; that is no cycle.
        if each.target in sources and not each.for_types and not name.startswith(each.target + '.'):
            graph[name].add(each.target)
    cycle = find_cycle(graph)
    return [' -> '.join(cycle)] if cycle else []


def dependency_faults(sources: Sources) -> list[str]:
    """Imports in the core that a bare peer may not have."""
    faults, late = [], {name: set[str]() for name in LATE_DEPENDENCIES}
    for name, each in each_import(sources):
        top = each.target.split('.')[0]
        if not name.startswith('across._core') or top == 'across' or each.for_types:
            continue
        if top in LATE_DEPENDENCIES and each.in_function:
            late[top].add(f'{name}.{each.in_function}')
        elif top not in sys.stdlib_module_names or top in NOT_IN_EVERY_VERSION:
            faults.append(f'{name}:{each.line} imports {top}, which a bare peer may not have')
    for top, functions in late.items():
        if len(functions) > 1:
            faults.append(f'{top} is imported in more than one function: {sorted(functions)}')
    return faults


def wire_faults(sources: Sources) -> list[str]:
    """I/O in the wire format."""
    return [
        f'{name}:{each.line} imports {each.target}'
        for name, each in each_import(sources)
        if name.startswith('across._core.wire')
        and each.target.split('.')[0] in BANNED_ON_THE_WIRE
        and not each.for_types
    ]


def syntax_faults(sources: Sources) -> list[str]:
    """Syntax that Python 3.8 does not know, as far as a newer parser can tell."""
    faults = []
    for name, source in sources.items():
        try:
            ast.parse(source, name, feature_version=(3, 8))
        except SyntaxError as error:
            faults.append(f'{name}:{error.lineno} {error.msg}')
    return faults


def length_faults(sources: Sources) -> list[str]:
    """Files that do more than one thing."""
    return [
        f'{name}: {lines} lines, {LONGEST_FILE} at most'
        for name, source in sources.items()
        if (lines := source.count('\n')) > LONGEST_FILE
    ]


def late_annotation_faults(sources: Sources) -> list[str]:
    """Modules whose annotations run: new spellings of types would fail on 3.8."""
    return [
        f'{name}: no "from __future__ import annotations"'
        for name, source in sources.items()
        if ast.parse(source).body[1:] and 'from __future__ import annotations' not in source
    ]


RULES: dict[Callable[[Sources], list[str]], dict[str, str]] = {
    arrow_faults: {
        'upwards': 'across._core.errors: from .connection import Connection',
        'sideways': 'across._core.values.refs: from ..threads import baton',
        'sideways, for types': 'across._core.wire.a: if TYPE_CHECKING: from ..values import refs',
        'inside a function': 'across._core.travel.boot: def f(): import across._core.connection',
        'the package itself': 'across._core.wire.frames: from across import Options',
        'past the public names': 'across.logging: from ._core.connection import Connection',
        'above the package': 'across: from .servers import run_tcp',
        'between siblings above': 'across.gateways.spec: from ..objects import Proxy',
        'of an unknown part': 'across._core.helpers: from . import errors',
    },
    cycle_faults: {
        'through a function': 'across._core.a: def f(): from . import b\n'
        'across._core.b: from .a import f',
    },
    dependency_faults: {
        'foreign': 'across._core.a: import numpy',
        'too new': 'across._core.a: import tomllib',
        'gone by now': 'across._core.a: import imp',
        'early': 'across._core.a: import cloudpickle',
        'twice': 'across._core.a: def f(): import tblib\nacross._core.b: def g(): import tblib',
    },
    wire_faults: {'clock': 'across._core.wire.frames: from time import monotonic'},
    syntax_faults: {'match': 'across._core.a: match 1:\n    case _: pass'},
    length_faults: {'long': 'across._core.a: ' + '\\n' * (LONGEST_FILE + 1)},
    late_annotation_faults: {'none': 'across._core.a: import os; x: int | None = None'},
}


@pytest.mark.parametrize('rule', RULES, ids=lambda rule: rule.__name__)
def test_package_keeps_the_rule(rule: Callable[[Sources], list[str]]) -> None:
    faults = rule(SOURCES)
    assert not faults, '\n'.join([str(rule.__doc__), *faults])


@pytest.mark.parametrize(
    ('rule', 'broken'),
    [
        pytest.param(rule, broken, id=f'{rule.__name__}-{name}')
        for rule, examples in RULES.items()
        for name, broken in examples.items()
    ],
)
def test_rule_finds_the_fault(rule: Callable[[Sources], list[str]], broken: str) -> None:
    sources = {'across': '', 'across._core': '', 'across._core.threads.baton': ''}
    for line in broken.replace('\n    ', '\0').split('\n'):
        name, _, source = line.partition(': ')
        sources[name] = source.replace('\0', '\n    ').replace('\\n', '\n')
    packages = {'across', 'across._core', 'across._core.wire', 'across._core.threads'}
    assert rule(Sources(sources, packages))


def test_cycle_finder_leaves_trees_alone() -> None:
    assert find_cycle({'a': {'b', 'c'}, 'b': {'c'}, 'c': set()}) == []
    assert find_cycle({'a': {'b'}, 'b': {'c'}, 'c': {'b'}}) == ['b', 'c', 'b']


def test_real_python_3_8_compiles_the_package() -> None:
    """What the newer parser lets pass, the old interpreter does not."""
    python = find_interpreter(8)
    if python is None:
        pytest.skip('no CPython 3.8')
    code = 'import sys; [compile(open(f, "rb").read(), f, "exec") for f in sys.argv[1:]]'
    files = [str(path) for path in PACKAGE.rglob('*.py')]
    run = subprocess.run([python.path, '-I', '-S', '-c', code, *files], capture_output=True)
    assert run.stderr.decode() == ''


def test_boot_blob_is_complete_and_in_import_order() -> None:
    """What it lacks, a bare peer would fetch module by module while it starts."""
    eager = importlib.import_module('across._core').EAGER
    seen: set[str] = set()
    for name in eager:
        assert name in SOURCES, f'EAGER names {name}, which does not exist'
        assert name not in seen, f'EAGER names {name} twice'
        for each in imports_of(name, SOURCES):
            if each.target in SOURCES and not each.in_function and not each.for_types:
                assert each.target in eager, f'{name} imports {each.target}, which EAGER lacks'
                # `across` itself comes first, as the package that all others lie in.
                if name != 'across':
                    assert each.target in seen, f'EAGER has {name} before {each.target}'
        seen.add(name)


def loaded_by(code: str) -> set[str]:
    """The modules that `code` loads in a fresh interpreter, beyond what it has anyway."""
    script = (
        'import sys; before = set(sys.modules); '
        f'sys.path[:0] = [{str(PACKAGE.parent)!r}]; {code}; '
        'print(*sorted(set(sys.modules) - before))'
    )
    run = subprocess.run([sys.executable, '-I', '-S', '-c', script], capture_output=True)
    assert run.stderr.decode() == ''
    return set(run.stdout.decode().split())


def test_import_across_loads_nothing_heavy() -> None:
    assert loaded_by('import across') & HEAVY == set()


def test_import_across_loads_only_the_core() -> None:
    ours = {name for name in loaded_by('import across') if name.startswith('across.')}
    assert {name.split('.')[1] for name in ours} == {'_core'}


def test_heavy_import_would_be_seen() -> None:
    assert {'logging', 'traceback'} <= loaded_by('import logging') & HEAVY


def test_public_names() -> None:
    public = {
        name
        for name, value in vars(across).items()
        if not name.startswith('_') and not inspect.ismodule(value) and name != 'annotations'
    }
    listed = set(across.__all__) - {'__version__'}
    # Some names are only made when first asked for.
    assert public <= listed
    for name in across.__all__:
        value = getattr(across, name)
        if inspect.isclass(value) or inspect.isfunction(value):
            assert value.__module__ == 'across', f'{name} shows its private path'
            assert value.__doc__, f'{name} has no docstring'


@pytest.mark.parametrize('name', [name for name in SOURCES if '__all__ =' in SOURCES[name]])
def test_listed_names_exist(name: str) -> None:
    module = importlib.import_module(name)
    assert [each for each in module.__all__ if not hasattr(module, each)] == []
    assert len(set(module.__all__)) == len(module.__all__)
