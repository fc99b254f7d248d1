"""What the library does, on one screen: ``make demo`` or ``make demo HOSTS="user@a b"``.

Everything runs in interpreters that have nothing installed. The functions are those of this very
script: no file is copied to the other side, no server runs there.
"""

from __future__ import annotations

import logging
import os
import platform
import shlex
import sys
import tempfile
import time
import traceback

import across
import across.logging

LOCAL = [sys.executable, '-I', '-S', '-c', across.get_bios()]


# What runs over there.


def describe() -> str:
    version = platform.python_version()
    return f'process {os.getpid()} on {platform.node()}, Python {version} in {os.getcwd()}'


def measure(words: list[str]) -> dict[str, int]:
    for word in words:
        print(f'    measuring {word!r} in process {os.getpid()}')
    return {word: len(word) for word in words}


def average(values: list[float]) -> float:
    return sum(values) / len(values)


def work() -> None:
    logger = logging.getLogger('demo')
    logger.setLevel(logging.INFO)
    logger.addHandler(across.logging.AcrossHandler())
    logger.info('logged by process %d', os.getpid())


# What runs here.


def show(conn: across.Connection) -> None:
    step('conn.call(describe)', 'a function of this script runs there')
    result(conn.call(describe))

    step("conn.call(measure, ['brie', 'gouda'])", 'what it prints appears here')
    result(conn.call(measure, ['brie', 'gouda']))

    step('cheeses = conn.call_ref(list)', 'a proxy: the list stays there')
    cheeses = conn.call_ref(list)
    cheeses.append('brie')
    cheeses.append('gouda')
    result(f'len(cheeses) == {len(cheeses)}, cheeses[1] == {cheeses[1]!r}')

    step('conn.call(work)', 'what it logs is logged here')
    conn.call(work)

    step('conn.call(average, [])', 'its exception arrives, with its line')
    try:
        conn.call(average, [])
    except ZeroDivisionError as error:
        frames = traceback.format_exception(type(error), error, error.__traceback__)
        print(paint('31', indent(''.join(frames[-2:]))))


def demonstrate(title: str, command: list[str]) -> bool:
    """Show what can be done with the interpreter that `command` starts."""
    print(f'\n{paint("1", title)}  {paint("2", "$ " + shlex.join(command[:-1]) + " ...")}')
    start = time.perf_counter()
    options = across.Options(forward_stdio=True, timeout=20)
    try:
        with across.Connection.from_command(command, options=options) as conn:
            result(f'connected in {(time.perf_counter() - start) * 1000:.0f} ms')
            show(conn)
    except (across.AcrossError, OSError) as error:
        print(paint('31', indent(f'{type(error).__name__}: {error}')))
        return False
    return True


def step(code: str, comment: str) -> None:
    print(f'  {paint("36", f"{code:<39}")} {paint("2", "# " + comment)}')


def result(text: object) -> None:
    print(f'    {paint("32", "->")} {text}')


def indent(text: str) -> str:
    return '\n'.join('    ' + line for line in text.rstrip().splitlines())


def paint(colour: str, text: str) -> str:
    if not sys.stdout.isatty() or 'NO_COLOR' in os.environ:
        return text
    return f'\033[{colour}m{text}\033[0m'


def main(hosts: list[str]) -> int:
    logging.basicConfig(level=logging.INFO, format='    %(name)s: %(message)s', stream=sys.stdout)
    print(f'across {across.__version__}: nothing installed on the other side, nothing left there')
    with tempfile.TemporaryDirectory() as empty:
        os.chdir(empty)  # there is nothing to import here
        done = [demonstrate('This machine', LOCAL)]
        os.chdir('/')
    for host in hosts:
        # ssh joins its arguments and hands them to a shell, so the script has to be quoted.
        script = 'python3 -c ' + shlex.quote(across.get_bios())
        done.append(demonstrate(host, ['ssh', host, script]))
    if not hosts:
        print('\nThe same on hosts that ssh reaches:  make demo HOSTS="user@a b"')
    return 0 if all(done) else 1


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
