"""Raises, packs, unpacks and shows exceptions: see test_faults.py. Syntax of Python 3.8."""

# mypy: ignore-errors

import base64
import importlib
import pickle
import sys
import traceback

import harness  # noqa: F401 - provides the package

faults = importlib.import_module('across._core.values.faults')


def dive(n):
    if n:
        dive(n - 1)
    raise ValueError('deep')


def simple():
    raise ValueError('no')


def chained():
    try:
        simple()
    except ValueError as exc:
        raise KeyError('outer') from exc


def in_context():
    try:
        simple()
    except ValueError:
        {}['missing']


def syntax():
    compile('x = (1,\ny = 2', 'remote.cfg', 'exec')


def os_error():
    open('/no/such/file')  # noqa: SIM115


def unicode_error():
    b'\xff'.decode('ascii')


def import_error():
    import no_such_module_here  # noqa: F401


def recursion():
    dive(900)


def generated():
    exec(compile('raise LookupError(3)', '<generated>', 'exec'))


def group():
    members = []
    for function in (simple, chained):
        try:
            function()
        except Exception as exc:
            members.append(exc)
    members[0].add_note('a note')
    raise ExceptionGroup('many', members)  # noqa: F821


def pack(function):
    try:
        function()
    except BaseException as exc:
        data = faults.pack_fault(exc, here='wonderland, process 4242', dumps=pickle.dumps)
        print(base64.b64encode(pickle.dumps(data)).decode())


def show():
    """Raise what comes from stdin, as a connection does; print it, then let it go."""
    exc = faults.unpack_fault(pickle.loads(base64.b64decode(sys.stdin.read())), loads=pickle.loads)
    try:
        raise exc
    except BaseException:
        print(traceback.format_exc())
        raise


if __name__ == '__main__':
    if sys.argv[1] == 'show':
        show()
    else:
        pack(globals()[sys.argv[1]])
