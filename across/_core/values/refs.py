"""Which objects the two sides hold for each other, and how often.

The owner keeps an object alive while the peer has references to it: it counts how often it sent
one, and the peer reports how many it dropped. The peer keeps one proxy for each object; a proxy
knows how many references it stands for and gives back just that many, so an object that is sent
again while its proxy goes away is never lost.

Plain data structures: no pickling, no I/O. Layer: values.
"""

from __future__ import annotations

import itertools
import weakref
from _thread import RLock

TYPE_CHECKING = False  # type checkers take it for true; importing `typing` costs milliseconds
if TYPE_CHECKING:
    from typing import Any, Callable, Iterable

# The low bit of a ref in a frame's header: the receiver owns the object.
OWNED = 1


class ExportTable:
    """Our objects that the peer refers to."""

    def __init__(self) -> None:
        # Guards everything here; no object is dropped while it is held. Reentrant: the garbage
        # collector may run a finalizer at any allocation, and that may use the table, too.
        self._mutex = RLock()
        self._ids = itertools.count(1)
        self._entries: dict[int, list[Any]] = {}  # ref id → [object, count]
        self._by_object: dict[
            int, int
        ] = {}  # id(object) → ref id; the entry keeps the object alive

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, ref_id: object) -> bool:
        return ref_id in self._entries

    def export(self, obj: object) -> int:
        """Count one more reference to an object; its id."""
        with self._mutex:
            ref_id = self._by_object.get(id(obj))
            if ref_id is None:
                ref_id = next(self._ids)
                self._entries[ref_id] = [obj, 1]
                self._by_object[id(obj)] = ref_id
            else:
                self._entries[ref_id][1] += 1
            return ref_id

    def get(self, ref_id: int) -> Any:
        """The object behind an id.

        Raises:
            LookupError: There is none (any more).
        """
        return self._entries[ref_id][0]

    def pin(self, ref_ids: Iterable[int]) -> None:
        """Count a reference to each object, for as long as a frame that names them is handled."""
        with self._mutex:
            for ref_id in ref_ids:
                entry = self._entries.get(ref_id)
                if entry is not None:
                    entry[1] += 1

    def release(self, pairs: Iterable[tuple[int, int]]) -> list[Any]:
        """Take back references.

        Args:
            pairs: Ids, each with a count.

        Returns:
            The objects that nobody refers to any more, for the caller to drop where user code
            (their finalizers) may run.
        """
        dropped = []
        with self._mutex:
            for ref_id, count in pairs:
                entry = self._entries.get(ref_id)
                if entry is None:
                    continue
                entry[1] -= count
                if entry[1] <= 0:
                    del self._entries[ref_id]
                    if self._by_object.get(id(entry[0])) == ref_id:
                        del self._by_object[id(entry[0])]
                    dropped.append(entry[0])
        return dropped

    def clear(self) -> list[Any]:
        """Forget everything; the objects, for the caller to drop."""
        with self._mutex:
            dropped = [entry[0] for entry in self._entries.values()]
            self._entries = {}
            self._by_object = {}
        return dropped


class ImportTable:
    """The peer's objects that we have proxies of."""

    def __init__(self) -> None:
        self._mutex = RLock()  # guards `_proxies`, and the counts in the proxies
        self._proxies: dict[int, weakref.ref[Any]] = {}
        #: Ids and counts that are to be reported to the owner. Appending is all a finalizer does.
        self.dropped: list[tuple[int, int]] = []

    def __len__(self) -> int:
        return len(self._proxies)

    def receive(self, ref_id: int, make: Callable[[], Any]) -> Any:
        """Take one reference: the proxy of the object, new or not.

        Args:
            make: Makes a proxy that stands for one reference, if there is none.
        """
        made = make()  # outside the mutex: it may run the garbage collector
        with self._mutex:
            weak = self._proxies.get(ref_id)
            proxy = weak() if weak is not None else None
            if proxy is None:
                proxy = made
                self._proxies[ref_id] = weakref.ref(proxy)
            else:
                made.__across__.count = 0
                proxy.__across__.count += 1
        return proxy

    def take_dropped(self) -> list[tuple[int, int]]:
        """Ids and counts to report to the owner now."""
        with self._mutex:
            pairs = self.dropped[:]
            del self.dropped[: len(pairs)]  # what finalizers add behind them stays
            for ref_id, _ in pairs:
                weak = self._proxies.get(ref_id)
                if weak is not None and weak() is None:
                    del self._proxies[ref_id]
        return pairs
