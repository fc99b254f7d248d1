"""Log records that cross a connection: a handler for :mod:`logging`.

Importing it as ``across.logging`` doesn't shadow the standard module: imports are absolute.
"""

from __future__ import annotations

import logging
import os
from typing import Any

from . import AcrossError, Connection, get_connection

__all__ = ['AcrossHandler']

# What is set on a record that came over a connection: the processes that have forwarded it.
_TRAIL = '_across_trail'
# … and the connection that it came over.
_ORIGIN = '_across_origin'
# Who logs waits when so many bytes are on their way; about what a record takes beside its text.
_WINDOW = 1 << 20
_RECORD_COST = 1000


class AcrossHandler(logging.Handler):
    """A handler that forwards records to the logger of the same name in the remote process.

    Records arrive there in order, ahead of the calls and the results that follow them. Message and
    exception are formatted here, so that neither arguments nor tracebacks have to be pickled. A
    process forwards a record once, however it comes back, and never to where it came from. Who
    logs faster than the other side takes in waits for it, when a mebibyte is on its way. Once the
    connection is gone, records are dropped.

    Args:
        conn: Where to; by default the connection that the current thread runs a call for.

    Raises:
        ValueError: ``conn`` is not given, and this thread runs no call.
    """

    def __init__(self, conn: Connection | None = None) -> None:
        super().__init__()
        self._connection = get_connection() if conn is None else conn
        self._ahead = 0  # bytes since the peer had taken in all; guarded by the handler's lock

    def emit(self, record: logging.LogRecord) -> None:
        trail = getattr(record, _TRAIL, [])
        here = f'{os.uname().nodename}:{os.getpid()}'
        if here in trail or getattr(record, _ORIGIN, None) is self._connection:
            return  # it has been round, or comes from there
        try:
            fields = {**self._portable(record), _TRAIL: [*trail, here]}
            calls = self._connection._link.calls
            calls.post(_handle, fields)
            self._ahead += len(fields['msg']) + len(fields.get('exc_text') or '') + _RECORD_COST
            if self._ahead >= _WINDOW:
                self._ahead = 0
                calls.operation('finish_posts')  # who logs waits until the peer has taken it in
        except AcrossError:
            pass  # nobody is left to tell; an error here would end up in some log in turn
        except Exception:
            self.handleError(record)

    def _portable(self, record: logging.LogRecord) -> dict[str, Any]:
        """The record as plain data."""
        fields = dict(record.__dict__)
        fields.pop(_ORIGIN, None)
        fields['msg'] = record.getMessage()
        fields['args'] = None
        if record.exc_info and not record.exc_text:
            fields['exc_text'] = (self.formatter or logging.Formatter()).formatException(
                record.exc_info
            )
        fields['exc_info'] = None
        return {name: value if _is_plain(value) else repr(value) for name, value in fields.items()}


def _is_plain(value: object) -> bool:
    return value is None or isinstance(value, (str, int, float, bool))


def _handle(fields: dict[str, Any]) -> None:
    """Log a record that the peer sent."""
    record = logging.makeLogRecord(fields)
    setattr(record, _ORIGIN, get_connection())
    logger = logging.getLogger(record.name)
    if logger.isEnabledFor(record.levelno):
        logger.handle(record)
