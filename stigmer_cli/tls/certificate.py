"""When a certificate is valid, read from its bytes: the standard library gives it only for verified ones.

The structure is X.509's (RFC 5280, 4.1) in DER (ITU-T X.690): each value is a tag, a length and its content.
"""

import re
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime

PEM = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
VERSION = 0xA0
UTC_TIME = 0x17
LONG_FORM = 0x80
CENTURY_TURN = 50
"""A year of two digits below it is of this century (RFC 5280, 4.1.2.5.1)."""


@dataclass(frozen=True, kw_only=True)
class Validity:
    """The first and the last moment at which a certificate is valid."""

    begins: datetime
    ends: datetime


def first_in(pem: str) -> bytes:
    """The DER bytes of the first certificate in `pem`; raises ValueError where there is none."""
    found = PEM.search(pem)
    if found is None:
        raise ValueError("no certificate in it")
    return ssl.PEM_cert_to_DER_cert(found[0])


def validity(der: bytes) -> Validity:
    """When the certificate `der` is valid; raises ValueError where it is none."""
    try:
        certificate, _ = _content(der)
        body, _ = _content(certificate)
        if body[0] == VERSION:
            body = _rest(body)
        for _ in ("serial number", "signature", "issuer"):
            body = _rest(body)
        dates, _ = _content(body)
        begins, rest = _moment(dates)
        return Validity(begins=begins, ends=_moment(rest)[0])
    except IndexError as error:
        raise ValueError("not a certificate") from error


def _content(der: bytes) -> tuple[bytes, bytes]:
    """The content of the first value, and what follows it."""
    size, begins = der[1], 2
    if size >= LONG_FORM:
        begins += size - LONG_FORM
        size = int.from_bytes(der[2:begins], "big")
    if len(der) < begins + size:
        raise ValueError("not a certificate: it is cut off")
    return der[begins : begins + size], der[begins + size :]


def _rest(der: bytes) -> bytes:
    return _content(der)[1]


def _moment(der: bytes) -> tuple[datetime, bytes]:
    content, rest = _content(der)
    text = content.decode("ascii")
    if der[0] == UTC_TIME:
        text = ("20" if int(text[:2]) < CENTURY_TURN else "19") + text
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC), rest
