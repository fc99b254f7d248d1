"""The core of the library, private to it; the public names are those of `across` itself.

All modules in here are pure Python for 3.8 and newer, need the standard library only, and travel to
bare peers.
"""

from __future__ import annotations

#: The modules of the boot blob, each behind those that it imports. A bare peer fetches the others
#: over the connection when it imports them.
EAGER = (
    'across._core',
    'across._core.errors',
    'across._core.options',
    'across._core.debug',
    'across._core.interrupts',
    'across._core.wire',
    'across._core.wire.frames',
    'across._core.wire.greeting',
    'across._core.threads',
    'across._core.threads.context',
    'across._core.threads.baton',
    'across._core.threads.cache',
    'across._core.threads.outbox',
    'across._core.threads.watchdog',
    'across._core.threads.main_loop',
    'across._core.transports',
    'across._core.transports.base',
    'across._core.transports.wakeup',
    'across._core.transports.streams',
    'across._core.transports.stdio',
    'across._core.values',
    'across._core.values.cpickle',
    'across._core.values.memory',
    'across._core.values.refs',
    'across._core.values.proxies',
    'across._core.values.pickling',
    'across._core.travel',
    'across._core.travel.importer',
    'across._core.states',
    'across._core.payloads',
    'across._core.sender',
    'across._core.calls',
    'across._core.operations',
    'across._core.posts',
    'across._core.dispatcher',
    'across._core.reader',
    'across._core.handlers',
    'across._core.pulse',
    'across._core.handshake',
    'across._core.closing',
    'across._core.link',
    'across._core.lifetime',
    'across._core.spawning',
    'across._core.connection',
    'across._core.serving',
    'across',
)
