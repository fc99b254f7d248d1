"""Tracebacks as plain data, and traceback objects made of it.

Layer: values. Standard library only. tblib is not used, because a bare peer has to do without it
anyway, and what it makes is worse: carets under the wrong columns (Python 3.11 and later), frames
that keep their maker's frames alive, and a RecursionError for long tracebacks or deep callers.
"""

from __future__ import annotations

import sys
from types import CodeType, FrameType, FunctionType, TracebackType
from typing import Any, Iterator, Tuple

# As many frames at the head, and at the tail, of a traceback travel.
KEPT_FRAMES = 100

# Among the globals of a rebuilt frame: the data it was made of.
_MARK = '__across_frame__'

# Remote lines are put into linecache only where the interpreter's own printer reads it. Before
# Python 3.13 that printer is written in C and knows real files only, so there the source line is
# part of the function's name; in linecache, too, it would be printed twice by `traceback`.
_PRINTER_USES_LINECACHE = sys.version_info >= (3, 13)

# File name, line number, name of the function, text of the line, place: "host, process 42".
Frame = Tuple[str, int, str, str, str]


def pack_traceback(tb: TracebackType | None, here: str) -> list[Frame]:
    """Turn a traceback into plain data.

    Frames of the library are left out, unless there are no others. Frames that came from another
    process stay what they are.

    Args:
        here: Names this process.
    """
    found: list[tuple[FrameType, int]] = []
    while tb is not None:
        found.append((tb.tb_frame, tb.tb_lineno))
        tb = tb.tb_next
    theirs = [each for each in found if not _is_own(each[0].f_code)]
    found = theirs or found
    left_out = len(found) - 2 * KEPT_FRAMES
    packed: dict[tuple[CodeType, int], Frame] = {}  # recursion repeats frames: pack each once

    def pack(frame: FrameType, line: int) -> Frame:
        key = frame.f_code, line
        if key not in packed or _MARK in frame.f_globals:
            packed[key] = _pack_frame(frame, line, here)
        return packed[key]

    if left_out <= 1:
        return [pack(*each) for each in found]
    gap = ('…', 0, f'… {left_out} frames left out …', '', here)
    head, tail = found[:KEPT_FRAMES], found[-KEPT_FRAMES:]
    return [*(pack(*each) for each in head), gap, *(pack(*each) for each in tail)]


def unpack_traceback(frames: list[Frame]) -> TracebackType | None:
    """Make a traceback of plain data."""
    tb = None
    codes: dict[Frame, CodeType] = {}  # printers fold frames whose strings are the same
    for frame in reversed(frames):
        code = codes.get(frame)
        if code is None:
            code = codes[frame] = _make_code(*frame)
        # The index of the instruction, -1, says that no column is known, so no carets are shown.
        tb = TracebackType(tb, _make_frame(code, frame), -1, frame[1])
    return tb


def _is_own(code: CodeType) -> bool:
    return code.co_filename.startswith(_FOLDER)


def _pack_frame(frame: FrameType, line: int, here: str) -> Frame:
    mark: Any = frame.f_globals.get(_MARK)
    if mark is not None:
        return mark  # type: ignore[no-any-return]
    code = frame.f_code
    return (code.co_filename, line or 0, code.co_name, _source_line(frame, line), here)


def _source_line(frame: FrameType, line: int) -> str:
    import linecache  # not at the top: a bare peer starts fast

    filename = frame.f_code.co_filename
    try:
        linecache.checkcache(filename)
        return str(linecache.getline(filename, line, frame.f_globals)).strip()
    except Exception:  # a loader's get_source() may be anybody's
        return ''


def _make_code(filename: str, line: int, name: str, source: str, where: str) -> CodeType:
    shown = f'{filename} [{where}]'
    source = source or _local_line(filename, line)
    if source and _PRINTER_USES_LINECACHE:
        from .sourcelines import remember_lines

        remember_lines(shown, line, [source + '\n'])
    elif source:
        name = f'{name}\n    {source}'
    return _stub.__code__.replace(co_filename=shown, co_name=name, co_firstlineno=max(line, 0))


def _make_frame(code: CodeType, data: Frame) -> FrameType:
    """Make a frame that shows this code.

    It is one of a generator that never runs: such a frame has no frame behind it. One that ran
    would keep alive who asked for it, and with them the exception that it is for: a cycle.
    """
    names = {'__name__': '', '__builtins__': {}, _MARK: data}
    generator: Any = FunctionType(code, names)()
    frame: FrameType = generator.gi_frame
    return frame


def _stub() -> Iterator[None]:
    yield


def _local_line(filename: str, line: int) -> str:
    """The line of code that was sent by value, and that only its home has the source of."""
    import linecache

    if filename in ('<string>', '<stdin>'):
        return ''  # anybody's
    return linecache.getline(filename, line).strip()


def _folder_of_core() -> str:
    # As code objects name their files: on a bare peer, that is not where the module says it is.
    filename = _stub.__code__.co_filename
    tail = 'values/tracebacks.py'
    return filename[: -len(tail)] if filename.endswith(tail) else filename


_FOLDER = _folder_of_core()
