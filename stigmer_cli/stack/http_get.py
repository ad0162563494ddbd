"""One GET over a connection of its own, without an HTTP library: what a short command reads without waiting for one."""

import asyncio
import contextlib
import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from stigmer_cli.host_names import hosts_to_try
from stigmer_cli.proxies import PORTS
from stigmer_cli.server_proof import ANSWER_MAX, Challenge, TokenRule, address_of, kept_from, may_send_token, prove
from stigmer_cli.waits import first_success

BODY_MAX = 4 * 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class HttpAnswer:
    """The status, the headers by their names in lower case, and the JSON object that came back."""

    status: int
    headers: Mapping[str, str]
    body: Mapping[str, object]


async def http_get(
    url: str, token: str | None, *, ca_file: str | None = None, is_insecure_allowed: bool = False
) -> HttpAnswer:
    """The answer to a GET; with a `token`, only from a server that may have it (see server_proof.py).

    Raises OSError where nothing answers, ValueError where it is no JSON object or larger than `BODY_MAX`,
    ServerUnproven where somebody else answers, TokenKept where the token is never sent, ConfigError for a bad
    `ca_file`. It has no deadline of its own.
    """
    parts = urlsplit(url)
    rule = may_send_token(url, is_insecure_allowed=is_insecure_allowed) if token else None
    if rule is TokenRule.NEVER:
        raise kept_from(url)
    context = _trust(url, ca_file) if parts.scheme == "https" else None
    host = parts.netloc.rpartition("@")[2]
    port = parts.port or PORTS["http" if context is None else "https"]
    reader, writer = await _open(parts.hostname or "", port, context)
    try:
        if rule is TokenRule.AFTER_PROOF:
            await _require_proof(reader, writer, host, token)
        credential = f"Authorization: Bearer {token}\r\n" if token else ""
        target = f"{parts.path}?{parts.query}" if parts.query else parts.path
        # HTTP/1.0, so that the answer is never chunked and ends with the connection
        request = f"GET {target} HTTP/1.0\r\nHost: {host}\r\n{credential}Accept: application/json\r\n\r\n"
        writer.write(request.encode())
        answer = await _read_all(reader)
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
    except BaseException:
        # to close would wait half a minute for a TLS server that has gone silent to say that it closes, too
        writer.transport.abort()
        raise
    return _read_answer(answer)


async def _open(
    host: str, port: int, context: ssl.SSLContext | None
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    server_hostname = host if context else None
    return await first_success(
        hosts_to_try(host),
        lambda one: asyncio.open_connection(one, port, ssl=context, server_hostname=server_hostname),
        despite=OSError,
    )


async def _read_all(reader: asyncio.StreamReader) -> bytes:
    answer = await reader.read(BODY_MAX)
    while chunk := await reader.read(BODY_MAX):
        answer += chunk
        if len(answer) > BODY_MAX:
            raise ValueError("an endless answer")
    return answer


def _trust(url: str, ca_file: str | None) -> ssl.SSLContext:
    from stigmer_cli.tls.link import Link  # noqa: PLC0415 - a server of this machine is reached without TLS

    return Link(url, ca_file).context


async def _require_proof(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str, token: str | None
) -> None:
    """Return once the other end has proven that it holds `token`; raises ServerUnproven, and OSError."""

    async def write(data: bytes) -> None:
        writer.write(data)

    challenge = Challenge(host=host, address=address_of(writer.get_extra_info("peername")))
    await prove(challenge, lambda: reader.read(ANSWER_MAX), write, lambda: token)


def _read_answer(answer: bytes) -> HttpAnswer:
    head, _, body = answer.partition(b"\r\n\r\n")
    status_line, *lines = head.decode("latin-1").split("\r\n")
    words = status_line.split(None, 2)
    if len(words) < 2 or not words[0].startswith("HTTP/"):  # noqa: PLR2004 - HTTP/1.1 200 OK
        raise ValueError("no HTTP")
    try:
        found = json.loads(body)
    except RecursionError:
        raise ValueError("JSON nested too deep") from None
    if not isinstance(found, dict):
        raise ValueError("no JSON object")  # noqa: TRY004 - the other end sent it
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return HttpAnswer(status=int(words[1]), headers=headers, body=found)
