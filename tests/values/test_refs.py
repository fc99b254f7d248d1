"""Who holds what for whom: the two tables, alone and against each other."""

from __future__ import annotations

import gc
import weakref
from collections import deque
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from across._core.values.proxies import Handle, Proxy
from across._core.values.refs import ExportTable, ImportTable
from support.ends import together
from support.interleaving import in_background


class Thing:
    """Something to refer to."""


class Owner:
    """The side that a proxy belongs to."""

    owner = None  # no connection keeps it alive

    def __init__(self) -> None:
        self.imports = ImportTable()
        self.dropped: Any = self.imports.dropped.append

    def receive(self, ref_id: int) -> Proxy:
        def make() -> Proxy:
            proxy = Proxy.__new__(Proxy)
            proxy.__across__ = Handle(self, ref_id, ('Thing', ()))
            return proxy

        proxy: Proxy = self.imports.receive(ref_id, make)
        return proxy


# -------------------------------------------------------------------------------- the owner's side


def test_exported_object_lives_as_long_as_it_is_referred_to() -> None:
    table = ExportTable()
    thing = Thing()
    weak = weakref.ref(thing)
    ref_id = table.export(thing)
    del thing
    assert table.get(ref_id) is weak()
    assert len(table) == 1
    dropped = table.release([(ref_id, 1)])
    assert dropped == [weak()]  # for the caller to drop, where its finalizer may run
    dropped.clear()
    assert weak() is None
    assert len(table) == 0
    with pytest.raises(LookupError):
        table.get(ref_id)


def test_exporting_again_counts() -> None:
    table = ExportTable()
    thing = Thing()
    ref_id = table.export(thing)
    assert table.export(thing) == ref_id
    assert table.release([(ref_id, 1)]) == []
    assert table.release([(ref_id, 1)]) == [thing]


def test_ids_are_not_used_again() -> None:
    table = ExportTable()
    thing = Thing()
    first = table.export(thing)
    table.release([(first, 1)])
    assert table.export(thing) != first


def test_equal_objects_are_not_the_same_object() -> None:
    table = ExportTable()
    first: list[int] = []
    second: list[int] = []
    assert table.export(first) != table.export(second)


def test_pinned_object_outlives_its_release() -> None:
    """Deletion overtakes use: a frame that names the object is not unpacked yet."""
    table = ExportTable()
    thing = Thing()
    ref_id = table.export(thing)
    table.pin([ref_id])
    assert table.release([(ref_id, 1)]) == []
    assert table.get(ref_id) is thing
    assert table.release([(ref_id, 1)]) == [thing]


def test_finalizer_that_exports_the_same_object_amid_its_export() -> None:
    """The garbage collector may run one at any allocation, also in here."""
    table = ExportTable()
    thing = Thing()
    nested: list[int] = []

    class Ids:
        def __next__(self) -> int:
            if not nested:
                nested.append(0)
                nested[0] = table.export(thing)
                return 2
            return 1

    ids: Any = Ids()
    table._ids = ids
    assert (table.export(thing), nested) == (2, [1])
    assert table.get(1) is table.get(2) is thing
    assert table.release([(1, 1)]) == [thing]
    assert table.export(thing) == 2  # the one of them that is left
    assert table.release([(2, 2)]) == [thing]
    assert len(table) == 0


def test_releases_of_unknown_ids_are_ignored() -> None:
    table = ExportTable()
    table.pin([7])
    assert table.release([(7, 1), (8, 3)]) == []


def test_peer_that_releases_too_much_only_harms_itself() -> None:
    table = ExportTable()
    thing = Thing()
    ref_id = table.export(thing)
    assert table.release([(ref_id, 2**64 - 1)]) == [thing]
    assert table.release([(ref_id, 1)]) == []
    assert len(table) == 0


def test_clear_gives_out_all_objects() -> None:
    table = ExportTable()
    things = [Thing(), Thing()]
    for thing in things:
        table.export(thing)
    assert table.clear() == things
    assert len(table) == 0
    assert table.clear() == []


# --------------------------------------------------------------------------------- the peer's side


def test_one_proxy_for_each_object() -> None:
    owner = Owner()
    proxy = owner.receive(1)
    assert owner.receive(1) is proxy
    assert owner.receive(2) is not proxy
    gc.collect()
    assert owner.imports.take_dropped() == [(2, 1)]


def test_proxy_gives_back_as_many_references_as_it_received() -> None:
    """Deletion crosses a re-export: what is on its way here is not given back."""
    owner = Owner()
    proxy = owner.receive(1)
    owner.receive(1)
    owner.receive(1)
    del proxy
    gc.collect()
    assert owner.imports.take_dropped() == [(1, 3)]
    proxy = owner.receive(1)
    assert owner.imports.take_dropped() == []
    del proxy
    gc.collect()
    assert owner.imports.take_dropped() == [(1, 1)]


def test_new_proxy_while_the_end_of_the_old_one_is_unreported() -> None:
    owner = Owner()
    owner.receive(1)
    gc.collect()
    proxy = owner.receive(1)
    assert owner.imports.take_dropped() == [(1, 1)]
    assert owner.receive(1) is proxy  # it is still known


def test_reference_that_arrives_amid_the_end_of_its_proxy() -> None:
    """The finalizer runs in one thread, another one receives the object again."""
    owner = Owner()
    received: list[Proxy] = []

    def dropped(pair: tuple[int, int]) -> None:
        owner.dropped = owner.imports.dropped.append
        in_background(lambda: received.append(owner.receive(1)))
        owner.dropped(pair)

    owner.receive(1)
    gc.collect()
    owner.imports.take_dropped()
    proxy = owner.receive(1)
    owner.dropped = dropped
    del proxy
    gc.collect()
    assert owner.imports.take_dropped() == [(1, 1)]
    assert received[0].__across__.count == 1
    received.clear()
    gc.collect()
    assert owner.imports.take_dropped() == [(1, 1)]


def test_table_keeps_nothing_of_proxies_that_are_gone() -> None:
    owner = Owner()
    for ref_id in range(50):
        owner.receive(ref_id)
    gc.collect()
    assert len(owner.imports.take_dropped()) == 50
    assert owner.imports._proxies == {}


def test_taking_while_other_threads_take() -> None:
    owner = Owner()
    owner.imports.dropped.extend((i, 1) for i in range(1000))

    def take() -> list[tuple[int, int]]:
        return [pair for _ in range(100) for pair in owner.imports.take_dropped()]

    taken = [pair for pairs in together(take, take, take) for pair in pairs]
    assert sorted(taken) == [(i, 1) for i in range(1000)]


def test_handle_that_was_never_finished_gives_back_nothing() -> None:
    Handle.__new__(Handle).__del__()  # an interrupt can come amid its making


# ------------------------------------------------------------------------ both, against each other


class TwoSides(RuleBasedStateMachine):
    """Both send each other their own and the other's objects, drop and release in any order."""

    @property
    def _sides(self) -> tuple[Side, Side]:
        return self.left, self.right

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = Side(), Side()
        self.left.peer, self.right.peer = self.right, self.left

    sides = st.sampled_from(['left', 'right'])

    @rule(side=sides, which=st.integers(0, 2))
    def send_own_object(self, side: str, which: int) -> None:
        getattr(self, side).send_own(which)

    @rule(side=sides, which=st.integers(0))
    def send_proxy_home(self, side: str, which: int) -> None:
        getattr(self, side).send_home(which)

    @rule(side=sides, which=st.integers(0))
    def drop_proxy(self, side: str, which: int) -> None:
        getattr(self, side).drop(which)

    @rule(side=sides)
    def forget_own_objects(self, side: str) -> None:
        getattr(self, side).things.clear()

    @rule(side=sides)
    def report_dropped(self, side: str) -> None:
        getattr(self, side).report()

    @rule(side=sides)
    def arrive(self, side: str) -> None:
        getattr(self, side).arrive()

    @precondition(lambda self: any(side.arrived for side in self._sides))
    @rule(side=sides)
    def unpack(self, side: str) -> None:
        getattr(self, side).unpack()

    def teardown(self) -> None:
        for side in self._sides:
            side.finish()
        for side in self._sides:
            side.finish()
        for side in self._sides:
            side.proxies.clear()
        for side in self._sides:
            side.report()
        for side in self._sides:
            side.finish()
            side.things.clear()
        for side in self._sides:
            assert len(side.exports) == 0
            assert side.imports._proxies == {}
            assert [weak() for weak in side.sent.values() if weak() is not None] == []


class Side(Owner):
    """One side, and the frames on their way to it."""

    peer: Side

    def __init__(self) -> None:
        super().__init__()
        self.exports = ExportTable()
        self.incoming: deque[tuple[str, Any]] = deque()
        self.arrived: deque[tuple[str, int]] = deque()  # not yet unpacked
        self.things: dict[int, Thing] = {}
        self.sent: dict[int, weakref.ref[Thing]] = {}  # what each id stands for
        self.proxies: list[Proxy] = []

    def send(self, kind: str, content: Any) -> None:
        self.report()  # releases keep their place in the stream
        self.peer.incoming.append((kind, content))

    def send_own(self, which: int) -> None:
        thing = self.things.setdefault(which, Thing())
        ref_id = self.exports.export(thing)
        known = self.sent.setdefault(ref_id, weakref.ref(thing))
        assert known() is thing
        self.send('yours', ref_id)

    def send_home(self, which: int) -> None:
        if self.proxies:
            self.send('mine', self.proxies[which % len(self.proxies)].__across__.ref_id)

    def drop(self, which: int) -> None:
        if self.proxies:
            del self.proxies[which % len(self.proxies)]

    def report(self) -> None:
        pairs = self.imports.take_dropped()
        if pairs:
            self.peer.incoming.append(('release', pairs))

    def arrive(self) -> None:
        """What the reader does."""
        if self.incoming:
            kind, content = self.incoming.popleft()
            if kind == 'release':
                self.exports.release(content)
                return
            if kind == 'mine':
                self.exports.pin([content])
            self.arrived.append((kind, content))

    def unpack(self) -> None:
        """What a handler does, later."""
        if self.arrived:
            kind, ref_id = self.arrived.popleft()
            if kind == 'yours':
                self.proxies.append(self.receive(ref_id))
                assert self.peer.exports.get(ref_id) is self.peer.sent[ref_id]()
            else:
                assert self.exports.get(ref_id) is self.sent[ref_id]()
                self.exports.release([(ref_id, 1)])

    def finish(self) -> None:
        while self.incoming:
            self.arrive()
        while self.arrived:
            self.unpack()


TwoSides.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestTwoSides = TwoSides.TestCase
