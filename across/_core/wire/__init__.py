"""The wire format, without any I/O: bytes in, frames out, and back.

Layer: wire. Imports nothing but :mod:`struct`, :mod:`sys`, :mod:`typing` and the errors.
"""
