"""Who reads, who writes, who runs, and who looks after them.

Knows nothing of messages. The locking order of the whole library, outermost first:

1. the lock that keeps posts in order (``posts``; the only one held over user code), the one that
   keeps forwarded output in order (``forwarding``), and that of a stream's outlet (held over
   writes, like the next one);
2. the send lock of an :class:`.outbox.Outbox` (held over writes, which never wait while the holder
   is the reader);
3. the mutex of a link's table of streams;
4. the mutex of a :class:`.baton.Baton` (never held over I/O, pickling or user code);
5. the mutexes of the tables in ``values.refs``, the outbox's counter, and the lock of a
   :class:`.tls.TlsTransport` (held for one call of OpenSSL each time).

A lock is only taken while holding none, or one further up. The lock that a waiting thread sleeps on
belongs to that thread and is not part of the order: whoever takes a waiter out of the waiting
room, under the baton's mutex, is the one that releases it. Nor is a lock that nobody waits for.

Layer: threads. Standard library only.
"""
