"""Streams: ordered items on their way between the two processes, never more than fit a window.

A stream has an end in each process, and an end two halves: an :class:`.outlet.Outlet` for what is
sent and an :class:`.inlet.Inlet` for what arrives. An outlet begins with credit for as much as the
window holds; the inlet grants more as items are taken out of it. Without credit the sender waits,
so nobody's memory fills up, and the reader of the connection never waits for anybody.

Each direction ends with one END from its sender; a STOP of its receiver asks for that. When both
directions have ended the two sides forget the stream.

Layer: just below :mod:`..connection`. Fetched by a bare peer when the first stream is opened.
"""
