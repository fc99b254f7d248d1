"""Byte streams to a peer: blocking only where asked, every wait with a deadline and cancellable.

- ``base``: the contract, :class:`Transport`, and :exc:`Cancelled`
- ``wakeup``: what makes a wait cancellable
- ``streams``: what all transports share; a given pair of pipes
- ``sockets``: TCP, Unix sockets, given sockets
- ``tls``, ``tls_output``, ``tls_errors``: encryption over another transport
- ``stdio``: the standard streams of this process
- ``processes``: child processes

Layer: transports. Knows nothing of frames, values or threads that read and write. Nothing is
imported here: a peer on its standard streams needs neither ``sockets`` nor ``processes``.
"""
