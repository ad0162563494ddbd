"""How a server is reached: a child process with nothing of our environment that was not named, or a URL."""

import asyncio
import functools
import logging
import os
import ssl
import sys
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from stigmer_cli.api.agent_tools import McpBody
from stigmer_cli.domain.step import RESULT_BYTES_MAX
from stigmer_cli.proxies import Proxies
from stigmer_cli.tls.authorities import read_authorities
from stigmer_cli.tool_server import launch
from stigmer_cli.tool_server.lenient import LenientStream, read_half_characters

if TYPE_CHECKING:
    from mcp.client._transport import TransportStreams

INHERITED = ("PATH", "HOME", "LANG")
"""What a command gets of the runner's own environment; everything else is named in the manifest."""

CONNECT_MAX_S = 10.0
LINE_MAX = 64 * 1024
EVENT_BYTES_MAX = 2 * RESULT_BYTES_MAX + 1024 * 1024
"""One answer of a server over HTTP: the longest result that is recorded, and what JSON adds to it."""

LAST_WORDS_S = 0.2

Say = Callable[[str | None], None]
"""Takes a line that a server wrote to its standard error; None where it closed that, as one that dies does."""

NoteRefusal = Callable[[int, str], None]
"""Takes a status of HTTP, and what stands in Retry-After."""


def load_library() -> None:
    """Load what speaks the protocol, which takes a second; call it off the event loop, before anything else here."""
    import mcp.client  # noqa: PLC0415 - a second that only those pay who use it
    import mcp.client.stdio  # noqa: PLC0415
    import mcp.client.streamable_http  # noqa: F401, PLC0415

    # It logs whatever a server writes beside the protocol, with a stack; see `lenient.py` for what is said of it.
    logging.getLogger("mcp").setLevel(logging.CRITICAL)
    read_half_characters()


def open_transport(
    mcp: McpBody,
    *,
    environ: Mapping[str, str],
    proxies: Proxies,
    silent_s: float,
    say: Say,
    note_refusal: NoteRefusal,
) -> "AbstractAsyncContextManager[TransportStreams]":
    """The streams to a server; leaving the context ends them, and the child with all of its process group.

    `note_refusal` is told of each answer over HTTP that refuses a request: the library does not tell it.
    """
    if mcp.url is not None:
        return _open_http(mcp.url, mcp.headers, environ, proxies, silent_s, note_refusal)
    return _open_child(mcp, environ, say)


@asynccontextmanager
async def _open_child(mcp: McpBody, environ: Mapping[str, str], say: Say) -> "AsyncGenerator[TransportStreams, None]":
    from mcp.client.stdio import StdioServerParameters, stdio_client  # noqa: PLC0415 - loaded before

    kept = {name: environ[name] for name in INHERITED if name in environ} | dict(mcp.env)
    parameters = StdioServerParameters(
        command=sys.executable,
        args=["-I", "-S", launch.__file__, str(os.getpid()), ",".join(kept), *mcp.command],
        env=kept,
        cwd=mcp.cwd or Path.home(),
        encoding_error_handler="replace",
    )
    async with _lines_to(say) as errlog, stdio_client(parameters, errlog=errlog) as streams:
        errlog.close()  # the child has it
        yield LenientStream(streams[0]), streams[1]


@asynccontextmanager
async def _lines_to(say: Say) -> AsyncGenerator[TextIO, None]:
    """A file for the standard error of a child; what is written to it is said line by line."""
    reading, writing = os.pipe()
    reader = asyncio.StreamReader(limit=LINE_MAX)
    pipe, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(reading, "rb")
    )
    try:
        with os.fdopen(writing, "w") as errlog:
            async with asyncio.TaskGroup() as group:
                task = group.create_task(_say_lines(reader, say), name="standard error of a tool server")
                yield errlog
                if not errlog.closed:
                    errlog.close()
                await asyncio.wait([task], timeout=LAST_WORDS_S)
                task.cancel()  # a grandchild may hold it open for ever
    finally:
        pipe.close()


async def _say_lines(reader: asyncio.StreamReader, say: Say) -> None:
    while True:
        try:
            line = await reader.readline()
        except ValueError:  # longer than the limit, and dropped
            continue
        if not line:
            say(None)
            return
        if text := line.decode(errors="replace").strip():
            say(text)


def choose_authorities(url: str, environ: Mapping[str, str]) -> ssl.SSLContext:
    """The authorities that the certificate of the server at `url` may be of, as for models; none where it has none.

    Raises OSError where they are not there.
    """
    from httpx2 import URL  # noqa: PLC0415 - as above

    found = URL(url)
    if found.scheme != "https" and found.port is not None:  # from the usual port the library follows to https
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    return _authorities(environ.get("SSL_CERT_FILE"), environ.get("SSL_CERT_DIR"))


@functools.cache
def _authorities(_file: str | None, _folder: str | None) -> ssl.SSLContext:
    """Those of these variables, else the library's own, which are read once."""
    return read_authorities()


@asynccontextmanager
async def _open_http(
    url: str,
    headers: Mapping[str, str],
    environ: Mapping[str, str],
    proxies: Proxies,
    silent_s: float,
    note_refusal: NoteRefusal,
) -> "AsyncGenerator[TransportStreams, None]":
    import httpx2  # noqa: PLC0415 - as above
    from mcp.client.streamable_http import streamable_http_client  # noqa: PLC0415

    async def look(response: httpx2.Response) -> None:
        if response.is_error and response.request.method == "POST":
            note_refusal(response.status_code, response.headers.get("retry-after", ""))

    proxy = proxies.way_to(url)
    timeout = httpx2.Timeout(CONNECT_MAX_S, read=silent_s)
    client = httpx2.AsyncClient(
        headers=dict(headers),
        timeout=timeout,
        proxy=proxy.url if proxy else None,
        trust_env=False,
        verify=choose_authorities(url, environ),
        event_hooks={"response": [look]},
    )
    async with client, streamable_http_client(url, http_client=client, max_sse_event_size=EVENT_BYTES_MAX) as streams:
        yield LenientStream(streams[0]), streams[1]
