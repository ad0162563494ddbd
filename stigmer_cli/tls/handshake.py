"""Why two ends do not agree on TLS, in a sentence: a handshake of our own, looked at more closely than a client does.

Each kind of fault has its own sentence, with the setting that fixes it. Libraries report them in many ways (the
Temporal SDK says "transport error" for most), so a caller that failed asks here, with the same files and address.
"""

import asyncio
import ssl
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from stigmer_cli.clock import Clock
from stigmer_cli.errors import ConfigError
from stigmer_cli.time_format import day_and_time
from stigmer_cli.tls.certificate import Validity, validity
from stigmer_cli.tls.files import read_certificate
from stigmer_cli.tls.trust import Trust

ANSWER_S = 0.5
"""How long an end that has agreed on TLS may take to refuse our certificate: TLS 1.3 lets it do so afterwards."""

ANSWER_BYTES = 9

EXPIRED, NOT_YET, SELF_SIGNED, HOSTNAME, ADDRESS = 10, 9, (18, 19, 20, 21), 62, 64
"""X509_V_ERR_... of OpenSSL."""

PLAIN = frozenset(
    {"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST", "UNKNOWN_PROTOCOL", "PACKET_LENGTH_TOO_LONG"}
)
WANTS_CERTIFICATE = frozenset({"TLSV13_ALERT_CERTIFICATE_REQUIRED", "SSLV3_ALERT_HANDSHAKE_FAILURE"})
REFUSES_CERTIFICATE = frozenset(
    {
        "TLSV1_ALERT_UNKNOWN_CA",
        "SSLV3_ALERT_BAD_CERTIFICATE",
        "SSLV3_ALERT_CERTIFICATE_UNKNOWN",
        "SSLV3_ALERT_CERTIFICATE_REVOKED",
        "SSLV3_ALERT_CERTIFICATE_EXPIRED",
        "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE",
        "TLSV1_ALERT_DECRYPT_ERROR",
        "TLSV1_ALERT_ACCESS_DENIED",
    }
)


@dataclass(frozen=True, kw_only=True)
class Peer:
    """The other end: HOST and port, the settings that lead there, and what a client of its protocol says first.

    `greeting` is answered by an end that speaks the protocol, and `is_answer` knows the first `ANSWER_BYTES` of that.
    `alpn` are the protocols that are offered; `tls_setting` and `plain_setting` say how to switch TLS on and off.
    """

    host: str
    port: int
    greeting: bytes
    is_answer: Callable[[bytes], bool]
    alpn: tuple[str, ...]
    tls_setting: str
    plain_setting: str


async def why_not(peer: Peer, trust: Trust | None, *, clock: Clock) -> str:
    """Why nobody gets through to `peer`, in a sentence; empty where TLS is not the reason.

    `trust` None: it is used without TLS. Sets no deadline but that of the answer after the handshake.
    """
    try:
        if trust is None:
            return await _speaks_tls_only(peer)
        return await _refused(peer, trust, clock)
    except ConfigError as error:
        return f"{error.message} ({error.hint})"
    except OSError:
        return ""


async def shown_by(peer: Peer, trust: Trust) -> Validity | None:
    """When the certificate that `peer` shows is valid, whoever signed it; None where it shows none."""
    try:
        _, writer = await _open(peer, _unverified(peer), trust.server_name or peer.host)
    except OSError:
        return None
    try:
        connection = writer.get_extra_info("ssl_object")
        der = connection.getpeercert(binary_form=True) if connection else None
        return validity(der) if der else None
    except ValueError:
        return None
    finally:
        writer.transport.abort()


async def _refused(peer: Peer, trust: Trust, clock: Clock) -> str:
    context = trust.context()
    context.set_alpn_protocols(list(peer.alpn))
    name = trust.server_name or peer.host
    try:
        reader, writer = await _open(peer, context, name)
    except ssl.SSLCertVerificationError as error:
        return await _not_verified(peer, trust, error, clock)
    except ssl.SSLError as error:
        return await _of_alert(peer, trust, error.reason or str(error), clock)
    except ConnectionRefusedError:
        return ""
    except ConnectionError:
        return await _plain(peer) or _closed("in the middle of", trust, clock)
    try:
        writer.write(peer.greeting)
        async with asyncio.timeout(ANSWER_S):
            first = await reader.read(ANSWER_BYTES)
    except ssl.SSLError as error:
        return await _of_alert(peer, trust, error.reason or str(error), clock)
    except (OSError, TimeoutError):
        return ""
    finally:
        writer.transport.abort()
    return "" if first else _closed("after", trust, clock)


def _closed(when: str, trust: Trust, clock: Clock) -> str:
    """What it means that the connection ends without an alert: usually our certificate is refused."""
    own = _own_certificate(trust, clock)
    return f"it closes the connection {when} the TLS handshake{f'; {own}' if own else ''}"


async def _not_verified(peer: Peer, trust: Trust, error: ssl.SSLCertVerificationError, clock: Clock) -> str:
    shown = await shown_by(peer, trust)
    now = clock.now()
    code = error.verify_code
    if code == EXPIRED:
        if shown is not None and shown.ends <= now:
            return f"its certificate expired at {day_and_time(shown.ends)}: its operator must renew it"
        return "a certificate in its chain has expired: its operator, or the authority in " + _authority(trust)
    if code == NOT_YET:
        begins = f" before {day_and_time(shown.begins)}" if shown else " yet"
        return (
            f"its certificate is not valid{begins}, and here it is {day_and_time(now)}: one of the two clocks is wrong"
        )
    if code in SELF_SIGNED:
        return f"its certificate is signed by an authority that is not trusted here: {_authority(trust)}"
    if code in (HOSTNAME, ADDRESS):
        return f"its certificate is not for the name {trust.server_name or peer.host!r}{_other_name(trust)}"
    return f"its certificate cannot be verified: {error.verify_message}"


def _other_name(trust: Trust) -> str:
    way_out = f", or set {trust.name_setting} to one" if trust.name_setting else ""
    return f": use a name that it is for in the address{way_out}"


def _authority(trust: Trust) -> str:
    today = f"today {trust.ca}" if trust.ca else "today those of the system"
    return f"set {trust.ca_setting} to the file of its authority ({today})"


async def _of_alert(peer: Peer, trust: Trust, reason: str, clock: Clock) -> str:
    if reason in PLAIN:
        return f"it does not speak TLS: {peer.plain_setting}"
    if reason in REFUSES_CERTIFICATE | WANTS_CERTIFICATE:
        own = _own_certificate(trust, clock)
        return f"it refuses us; {own}" if own else f"it refuses the TLS handshake ({_words(reason)})"
    if reason == "TLSV1_UNRECOGNIZED_NAME":
        return f"it has no certificate for the name {trust.server_name or peer.host!r}{_other_name(trust)}"
    return await _plain(peer) or f"the TLS handshake fails ({_words(reason)})"


def _words(reason: str) -> str:
    return reason.replace("_", " ").lower()


def _own_certificate(trust: Trust, clock: Clock) -> str:
    """What may be wrong with the certificate that we show, as far as it can be seen from here."""
    if trust.pair is None:
        return f"it may want a certificate of ours: {trust.pair_setting}" if trust.pair_setting else ""
    ours = read_certificate(trust.pair.cert, trust.pair.cert_setting)
    if ours.ends <= clock.now():
        ended = day_and_time(ours.ends)
        return (
            f"our certificate {trust.pair.cert} expired at {ended}: put a new one there; it is read without a restart"
        )
    if ours.begins > clock.now():
        return f"our certificate {trust.pair.cert} is not valid before {day_and_time(ours.begins)}"
    return (
        f"our certificate {trust.pair.cert} ({trust.pair.cert_setting}) is valid, so it may be of an authority that is"
        " not trusted there"
    )


async def _speaks_tls_only(peer: Peer) -> str:
    """Whether an end that was spoken to in the clear speaks TLS instead."""
    try:
        _, writer = await _open(peer, _unverified(peer), peer.host)
    except ssl.SSLError as error:
        # An alert is an answer in TLS, too.
        return _tls_wanted(peer) if "ALERT" in (error.reason or "") else ""
    writer.transport.abort()
    return _tls_wanted(peer)


def _tls_wanted(peer: Peer) -> str:
    return f"it expects TLS, and the connection was made without it: {peer.tls_setting}"


async def _plain(peer: Peer) -> str:
    """Whether an end that fails at TLS answers its protocol in the clear."""
    with suppress(OSError, TimeoutError):
        reader, writer = await asyncio.open_connection(peer.host, peer.port)
        try:
            writer.write(peer.greeting)
            async with asyncio.timeout(ANSWER_S):
                if peer.is_answer(await reader.readexactly(ANSWER_BYTES)):
                    return f"it does not speak TLS: {peer.plain_setting}"
        except asyncio.IncompleteReadError:
            return ""
        finally:
            writer.transport.abort()
    return ""


def _unverified(peer: Peer) -> ssl.SSLContext:
    """A context to inspect an end with, not to send it anything; loads no authorities, which takes 20 ms or more."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(list(peer.alpn))
    return context


async def _open(peer: Peer, context: ssl.SSLContext, name: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection(peer.host, peer.port, ssl=context, server_hostname=name)
