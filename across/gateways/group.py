"""Groups of gateways: their names, their common start and end.

Layer: gateways.
"""

from __future__ import annotations

import atexit
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Callable, Iterable, Iterator

from .gateway import Gateway
from .multi import MultiChannel
from .spec import Spec

if TYPE_CHECKING:
    from types import ModuleType

    from across import Options

    from .sources import Source

__all__ = ['Group', 'default_group', 'makegateway']

# Threads that make gateways at the same time: they wait for the other sides most of the time.
_WIDTH = 32
# Seconds that the gateways of a group get when the interpreter exits.
_EXIT_TIME = 1.0


class Group:
    """Gateways that belong together, by name and in the order in which they were made.

    Those that are left when the interpreter exits are ended then.

    Args:
        specs: Of the first gateways, which are made at the same time.
        options: For the connections of the gateways.

    Raises:
        ValueError: A spec makes no sense, or an id is given twice.
        TypeError: There is no list of specs, or something else in it.
        HostNotFound: A gateway could not be made; none is left then.
    """

    #: What :meth:`makegateway` makes when it is given nothing.
    defaultspec = 'popen'
    gateway_type: type[Gateway] = Gateway

    def __init__(self, specs: Iterable[Spec | str] = (), *, options: Options | None = None) -> None:
        self._options = options
        # Guards what follows.
        self._mutex = threading.Lock()
        self._count = 0
        self._taken: dict[str, Gateway | None] = {}  # ids, also of those that are being made
        self._gateways: list[Gateway] = []
        self._leaving: list[Gateway] = []
        if isinstance(specs, (str, Spec)):
            raise TypeError(f'expected a list of specs, not one: [{str(specs)!r}]')
        self._make_all([self.make_spec(spec) for spec in specs])

    def _make_all(self, specs: list[Spec]) -> None:
        """Make gateways at the same time, those that go through others after these."""
        if not specs:
            return
        for spec in specs:
            self.allocate_id(spec)
        order = [spec.id for spec in specs]
        try:
            with ThreadPoolExecutor(min(_WIDTH, len(specs)), 'across-gateway') as pool:
                while specs:
                    waiting = {spec.id for spec in specs}
                    ready = [spec for spec in specs if spec.via not in waiting]
                    if not ready:
                        raise ValueError(f'each of these gateways goes through another: {specs}')
                    specs = [spec for spec in specs if spec.via in waiting]
                    list(pool.map(self.makegateway, ready))
        except BaseException:
            self.terminate(_EXIT_TIME)
            raise
        self._gateways.sort(key=lambda gateway: order.index(gateway.id))

    def make_spec(self, spec: Spec | str | None) -> Spec:
        """Read a spec, the default one if there is none."""
        if spec is None or spec == '':
            spec = self.defaultspec
        return spec if isinstance(spec, Spec) else Spec(spec)

    def makegateway(self, spec: Spec | str | None = None) -> Gateway:
        """Make a gateway, and wait until it can be used.

        Args:
            spec: A `Spec` or its text; :attr:`defaultspec` if there is none.

        Raises:
            ValueError: The spec makes no sense, or its id is taken.
            HostNotFound: It could not be made; says why.
        """
        return self.gateway_type(self.make_spec(spec), self, self._options)

    def allocate_id(self, spec: Spec) -> None:
        """Give a spec an id if it has none: gw0, gw1 and so on."""
        with self._mutex:
            while spec.id is None:
                free = f'gw{self._count}'
                self._count += 1
                if free not in self._taken:
                    spec.id = free

    # ------------------------------------------------------------------- what gateways call

    def reserve(self, spec: Spec) -> Gateway | None:
        """Take the id of a gateway that is to be made; returns the one that it goes through.

        Raises:
            ValueError: The id is taken, or there is no such gateway.
        """
        self.allocate_id(spec)
        with self._mutex:
            if spec.id in self._taken:
                raise ValueError(f'this group has a gateway with the id {spec.id!r} already')
            master = self._taken.get(spec.via) if spec.via else None
            if spec.via and master is None:
                raise ValueError(
                    f'{str(spec)!r}: there is no gateway with the id {spec.via!r} to go through'
                )
            self._taken[spec.id] = None
            return master

    def release(self, spec: Spec) -> None:
        """The gateway could not be made."""
        with self._mutex:
            self._taken.pop(spec.id, None)

    def register(self, gateway: Gateway) -> None:
        with self._mutex:
            self._taken[gateway.id] = gateway
            self._gateways.append(gateway)
        _track(self)

    def unregister(self, gateway: Gateway) -> None:
        with self._mutex:
            if self._taken.pop(gateway.id, None) is not None:
                self._gateways.remove(gateway)
                self._leaving.append(gateway)

    def forget(self, gateway: Gateway) -> None:
        """The gateway has left."""
        with self._mutex:
            self._leaving.remove(gateway)

    # ------------------------------------------------------------------------------- using them

    def remote_exec(
        self, source: str | Source | ModuleType | Callable[..., Any], **kwargs: Any
    ) -> MultiChannel:
        """Run code in all gateways; see :meth:`Gateway.remote_exec`."""
        return MultiChannel([gateway.remote_exec(source, **kwargs) for gateway in self])

    def terminate(self, timeout: float | None = None) -> None:
        """End all gateways, and wait until they have left.

        Those that others go through leave after these.

        Args:
            timeout: Seconds after which those that are left are killed; None to wait for them.
        """
        while True:
            masters = {gateway.spec.via for gateway in self}
            # Where two name each other, as by an id used again, there is no order to keep.
            last = [gateway for gateway in self if gateway.id not in masters] or list(self)
            for gateway in last:
                gateway.exit()
            with self._mutex:
                leaving = list(self._leaving)
            if not leaving and not last:
                return
            _join(leaving, timeout)

    def __iter__(self) -> Iterator[Gateway]:
        with self._mutex:
            return iter(list(self._gateways))

    def __len__(self) -> int:
        return len(self._gateways)

    def __bool__(self) -> bool:
        return True  # also without gateways

    def __contains__(self, key: object) -> bool:
        return any(gateway is key or gateway.id == key for gateway in self)

    def __getitem__(self, key: int | str | Gateway) -> Gateway:
        """Find a gateway by its id or its position."""
        if isinstance(key, int):
            return self._gateways[key]
        for gateway in self:
            if gateway is key or gateway.id == key:
                return gateway
        raise KeyError(key)

    def __repr__(self) -> str:
        return f'<{type(self).__name__} {[gateway.id for gateway in self]}>'

    def __enter__(self) -> Group:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.terminate()


def _join(gateways: list[Gateway], timeout: float | None) -> None:
    deadline = None if timeout is None else time.monotonic() + timeout
    late = [
        gateway
        for gateway in gateways
        if not gateway.join(None if deadline is None else max(0, deadline - time.monotonic()))
    ]
    for gateway in late:
        gateway.kill()
    for gateway in late:
        gateway.join()


_groups: weakref.WeakSet[Group] = weakref.WeakSet()
_hooked = False


def _track(group: Group) -> None:
    """See to it that a group ends with the interpreter; once it has a connection."""
    global _hooked
    if not _hooked:
        # Behind the handler of the connections, which would cut all short: the last one runs first.
        atexit.register(_terminate_all)
        _hooked = True
    _groups.add(group)


def _terminate_all() -> None:
    for group in list(_groups):
        group.terminate(_EXIT_TIME)


#: The group of all gateways that are made without one.
default_group = Group()
makegateway = default_group.makegateway

Group.__module__ = 'across.gateways'
