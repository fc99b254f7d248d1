"""What the options of a handler say about who is let in, checked before anybody comes.

Layer: servers.
"""

from __future__ import annotations

import pickle
from typing import NamedTuple

from across import Options


class Admission(NamedTuple):
    """How clients are let in.

    Attributes:
        encrypted: Whether they have to use TLS.
        proven: Whether they have to prove who they are.
    """

    encrypted: bool
    proven: bool


def check_admission(options: Options) -> Admission:
    """Find out how clients are let in; makes a context once, so that what is wrong shows now.

    Raises:
        TypeError: The function that is to make a context makes something else.
        ValueError: The context is one for clients.
        Exception: Whatever that function raises.
    """
    by_key = options.authkey is not None
    source = options.ssl_context
    if source is None:
        return Admission(False, by_key)
    import ssl

    context = source if isinstance(source, ssl.SSLContext) else source()
    if not isinstance(context, ssl.SSLContext):
        raise TypeError(
            'the function given as option ssl_context must return an ssl.SSLContext, not '
            f'{type(context).__name__}'
        )
    if context.protocol == ssl.PROTOCOL_TLS_CLIENT:
        raise ValueError(
            'the ssl_context is one for clients; a server needs that of '
            'ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)'
        )
    return Admission(True, by_key or context.verify_mode == ssl.CERT_REQUIRED)


def pack(options: Options) -> bytes:
    """Pickle options for a child process.

    Raises:
        ValueError: They hold what can't be sent there.
    """
    source = options.ssl_context
    if source is None:
        return pickle.dumps(options)
    if not callable(source):
        raise ValueError(
            'an ssl.SSLContext cannot be sent to the child processes of a '
            'ProcessConnectionHandler; give, as option ssl_context, a function without arguments '
            'that makes it'
        )
    import cloudpickle  # the child has no __main__ to find a function in

    try:
        packed: bytes = cloudpickle.dumps(options)
    except Exception as exc:
        raise ValueError(
            'the function given as option ssl_context cannot be sent to the child processes of a '
            f'ProcessConnectionHandler: {exc}'
        ) from exc
    return packed
