"""What goes wrong in TLS, in sentences that name the host and what to do.

Layer: transports. Imported with :mod:`.tls` only.
"""

from __future__ import annotations

import ssl

from across._core.errors import ProtocolError

# What is sent to a peer that does not speak TLS: a fatal alert, "protocol version" (RFC 8446,
# section 6.2). A peer of ours says that this side speaks TLS.
NOT_TLS = b'\x15\x03\x01\x00\x02\x02\x46'
# The first byte of a record: an alert, or part of a handshake.
_ALERT, _HANDSHAKE = 0x15, 0x16

# Numbers of X509_V_ERR_… in OpenSSL's x509_vfy.h, the same in all its versions.
_NOT_YET_VALID = 9
_EXPIRED = 10
_UNTRUSTED = {
    18: 'it is signed by itself',
    19: 'it is signed by an authority that is signed by itself and unknown here',
    20: 'the authority that signed it is unknown here',
    21: 'the authority that signed it is unknown here',
}
_WRONG_NAME = (62, 64)


def check_first_bytes(data: memoryview) -> None:
    """Look at what a peer sends first.

    Raises:
        ProtocolError: That is no TLS.
        ConnectionRefusedError: It is a server that serves nobody else now.
    """
    if data[0] in (_ALERT, _HANDSHAKE):
        return
    hint = 'this side does: either both or none of the sides need Options(ssl_context=…)'
    first = bytes(data[:500]).partition(b'\n')[0]
    if first.startswith(b'ACROSS '):
        _, refused, reason = first.partition(b' refused ')
        if refused:  # the handshake's word, said ahead of TLS
            text = reason.decode('ascii', 'backslashreplace')
            shown = text if text.isprintable() else repr(text)
            raise ConnectionRefusedError(f'the peer refused the connection: {shown}')
        raise ProtocolError(f'the peer does not encrypt with TLS, and {hint}')
    raise ProtocolError(f'the peer does not speak TLS, and {hint}; it sent: {bytes(data[:60])!r}')


def explain(exc: ssl.SSLError, name: str, server_side: bool) -> ssl.SSLError:
    """Give an error of OpenSSL a text for people; it keeps its type and all attributes.

    Args:
        exc: The error, which is changed.
        name: Where the connection leads.
        server_side: Whether this side is the server.
    """
    if isinstance(exc, ssl.SSLCertVerificationError):
        exc.strerror = _explain_verification(exc, name, server_side)
    else:
        exc.strerror = _explain_reason(exc, name, server_side)
    return exc


def _explain_verification(exc: ssl.SSLCertVerificationError, name: str, server_side: bool) -> str:
    whose = f'the certificate of the client {name}' if server_side else f'the certificate of {name}'
    code = exc.verify_code
    if code in _UNTRUSTED:
        remedy = 'trust it with load_verify_locations() of the ssl_context, if it is the right one'
        return f'{whose} is not trusted, as {_UNTRUSTED[code]}; {remedy}'
    if code in _WRONG_NAME:
        return f'{whose} belongs to another host: {exc.verify_message}'
    if code == _EXPIRED:
        return f'{whose} has expired'
    if code == _NOT_YET_VALID:
        return f'{whose} is not valid yet; are the clocks right?'
    return f'{whose} was not accepted: {exc.verify_message}'


def _explain_reason(exc: ssl.SSLError, name: str, server_side: bool) -> str:
    reason = exc.reason or ''
    alert = reason.partition('_ALERT_')[2]
    if alert == 'CERTIFICATE_REQUIRED':
        return (
            f'{name} wants a certificate, and this side has shown none; give it one with '
            'load_cert_chain() of the ssl_context'
        )
    if alert == 'UNKNOWN_CA' or 'CERTIFICATE' in alert:
        about = alert.replace('_', ' ').lower()
        return f'{name} does not accept the certificate of this side: {about}'
    if reason == 'PEER_DID_NOT_RETURN_A_CERTIFICATE':
        return f'the client {name} has shown no certificate, and this side wants one'
    if alert or reason in ('NO_SHARED_CIPHER', 'UNSUPPORTED_PROTOCOL'):
        about = (alert or reason).replace('_', ' ').lower()
        hint = '; has the server loaded its certificate?' if reason == 'NO_SHARED_CIPHER' else ''
        return f'no TLS with {name}: {about}{hint}'
    return f'no TLS with {name}: {exc.strerror or reason}'
