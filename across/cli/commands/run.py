"""``across run``: a script of this machine, run over there."""

from __future__ import annotations

import ast
import os
import sys
from argparse import REMAINDER, ArgumentParser, Namespace
from importlib.util import find_spec

from across.cli import far
from across.cli.arguments import add_export, add_hosts, add_target
from across.cli.errors import named

SUMMARY = 'run a script of this machine over there'
DETAILS = (
    'Run a script of this machine, as it is, in the process over there. Its standard streams are '
    'those of this program, its exit status is that of this program. Modules beside the script '
    'that it imports come along. With --on or --hosts-file, on many hosts at once: each line of '
    'output has its host ahead, and standard input is empty.'
)


def add_arguments(parser: ArgumentParser) -> None:
    add_target(parser)
    add_hosts(parser)
    parser.add_argument('script', metavar='SCRIPT', help='path of the script, on this machine')
    arguments = parser.add_argument(
        'args', nargs=REMAINDER, metavar='ARGS', help='arguments of the script'
    )
    arguments.required = False  # before Python 3.12 it is true, and named with what is missing
    add_export(parser)


def run(args: Namespace) -> int:
    from across.cli.near import add_to_path, session

    try:
        with open(args.script, 'rb') as file:
            source = file.read()
    except OSError as exc:
        raise named(exc, args.script) from None
    path = os.path.abspath(args.script)
    folder = os.path.dirname(os.path.realpath(path))
    add_to_path(folder)
    exports = [*args.export, *modules_beside(source, folder)]
    method, arguments = far.Session.run_script, (source, path, [args.script, *args.args])
    if args.hosts:
        from across.cli.many import run_everywhere

        return run_everywhere(args, exports, method, *arguments)
    with session(args, exports) as there:
        return there.run(method, *arguments).status


def modules_beside(source: bytes, folder: str) -> list[str]:
    """The modules in a folder that a script in it imports, directly or through one another.

    Those that are found elsewhere first, as the folder is last in our search path, are not among
    them.
    """
    found: dict[str, None] = {}
    sources = [source]
    while sources:
        for name in sorted(_imported(sources.pop()) - set(found)):
            spec = find_spec(name) if name not in sys.modules and name.isidentifier() else None
            origin = None if spec is None else spec.origin
            if origin is None or not origin.endswith('.py'):
                continue
            if origin in (
                os.path.join(folder, f'{name}.py'),
                os.path.join(folder, name, '__init__.py'),
            ):
                found[name] = None
                sources += _files(origin)
    return list(found)


def _imported(source: bytes) -> set[str]:
    """The top-level names of what a source imports, wherever in it."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return set()  # the Python over there may know it, or will say what is wrong
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name.partition('.')[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.partition('.')[0])
    return names


def _files(origin: str) -> list[bytes]:
    """The sources of a module, with those inside it if it is a package."""
    paths = [origin]
    if os.path.basename(origin) == '__init__.py':
        paths = [
            os.path.join(folder, name)
            for folder, _, names in os.walk(os.path.dirname(origin))
            for name in names
            if name.endswith('.py')
        ]
    sources = []
    for path in paths:
        with open(path, 'rb') as file:
            sources.append(file.read())
    return sources
