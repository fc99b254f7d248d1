"""What of a script is defined in the peer's ``__main__``."""

from __future__ import annotations

import textwrap
import threading
from types import ModuleType
from typing import Any

import pytest

from across._core.travel.mainmodule import compile_definitions, make_main


def define(source: str, **names: object) -> dict[str, Any]:
    namespace: dict[str, Any] = {'__name__': '__main__', **names}
    exec(compile_definitions(textwrap.dedent(source), 'script.py'), namespace)
    return namespace


def boom(*args: object) -> None:
    raise AssertionError('this must not run')


@pytest.mark.parametrize(
    'guard',
    [
        "__name__ == '__main__'",
        "'__main__' == __name__",
        "__name__ == '__main__' and boom() is None",
    ],
)
def test_body_of_the_guard_is_dropped(guard: str) -> None:
    found = define(
        f"""
        log = []
        log.append(1)      # runs, as in any import of the script
        def f(): return 1
        if {guard}:
            boom()
        else:
            log.append(2)
        """,
        boom=boom,
    )
    assert found['log'] == [1, 2]
    assert found['f']() == 1


def test_only_definitions_are_kept_without_a_guard() -> None:
    found = define(
        '''
        """Docstring."""
        import os.path
        from sys import version as v
        x, y = 1, 2
        x += 1
        z: int = 3
        boom()
        for i in range(3): boom()
        while True: boom()
        with boom(): w = 1
        async def g(): boom()
        def f(): boom()
        class C(object):
            value = boom
        if x:
            a = 1
            boom()
        else:
            boom()
        try:
            import nothing_of_that_name
        except ImportError:
            boom()
            nothing = None
        raise SystemExit
        ''',
        boom=boom,
    )
    assert found['__doc__'] == 'Docstring.'
    assert (found['x'], found['y'], found['z'], found['a']) == (2, 2, 3, 1)
    assert found['nothing'] is None
    assert {'os', 'v', 'f', 'g', 'C'} <= set(found)
    assert not {'i', 'w'} & set(found)


def test_connections_are_not_made_and_their_results_not_missed() -> None:
    found = define(
        """
        import across
        from across import Connection
        conn = Connection.from_tcp('x', 1)
        other = None or across.Connection.from_command([]).call
        conn.export('__main__')
        value = conn.call(f)
        values = [item for item in value]
        again = {item: 1 for item in (1, 2)}
        @conn.wrap
        def g(): pass
        def f(c=1): return Connection
        def default(c=conn): pass
        with Connection.from_tcp('x', 1) as third:
            result = third.call(f)
        shown = result
        result = 5
        kept = result
        try:
            fourth = Connection.from_tcp('x', 1)
        except OSError:
            fourth = None
        uses_fourth = fourth
        """
    )
    assert {'Connection', 'f', 'again', 'kept'} <= set(found)
    assert found['kept'] == 5
    dropped = {'conn', 'other', 'value', 'values', 'g', 'default', 'shown', 'third', 'uses_fourth'}
    assert not dropped & set(found)


def test_lines_are_those_of_the_script() -> None:
    found = define('boom()\n\n\ndef f(): pass\n')
    assert found['f'].__code__.co_firstlineno == 4
    assert found['f'].__code__.co_filename == 'script.py'


class FakeLoader:
    filename = '/elsewhere/script.py'
    package = 'pkg'

    def __init__(self, source: str) -> None:
        self.source = source

    def get_source(self, fullname: str) -> str:
        return self.source


def test_module_is_loaded_once_when_first_used() -> None:
    loads = []

    def load(fullname: str) -> Any:
        loads.append(fullname)
        return FakeLoader('import threading\nf = lambda: __name__\nvalue = 1')

    main = make_main(load)
    assert main.__name__ == '__main__'
    assert not loads
    threads = [threading.Thread(target=getattr, args=(main, 'f')) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert main.f() == '__main__'
    assert loads == ['__main__']
    assert type(main) is ModuleType
    assert (main.__file__, main.__package__) == ('/elsewhere/script.py', 'pkg')
    with pytest.raises(AttributeError, match='no attribute'):
        main.missing


def test_failed_load_is_tried_again() -> None:
    sources = ['raise_error = 1 / 0', 'value = 1']
    main = make_main(lambda fullname: FakeLoader(sources.pop(0)))  # type: ignore[arg-type,return-value]
    with pytest.raises(ZeroDivisionError):
        main.value
    assert main.value == 1
