"""Asks the stack's sockets what a web page would get whose host name points to this machine (DNS rebinding)."""

import asyncio
from collections.abc import Mapping

from stigmer_cli.daemon_thread import in_thread
from stigmer_cli.doctor.facts.facts import PageEndpoint
from stigmer_cli.fair_timeout import FairTimeout

FOREIGN_HOST = "page.invalid"
PATHS = ("/metrics", "/swagger.json", "/ui/api/v1/namespaces", "/livez")
"""A path that answers for each kind of server in the stack."""

ASK_S = 0.3
FIRST_ASK_S = 0.1
"""The same for the first path, which every HTTP server answers from memory, if only with 404. What stays silent speaks
something else, as half of Temporal's sockets do, and doctor waits for the slowest."""

HEAD_MAX = 64
HTTP = b"HTTP/1"
REDIRECTED = 400


async def probe_page_endpoints(pids: Mapping[str, int]) -> tuple[PageEndpoint, ...]:
    """Every listening TCP socket of these parts, and the paths that it serves to a request for a foreign host."""
    ends = await in_thread(lambda: _listening(pids))
    given: dict[tuple[str, str, int], list[str]] = {end: [] for end in ends}
    async with asyncio.TaskGroup() as group:
        for end in ends:
            group.create_task(_ask_all(end, given[end], pids[end[0]]), name=f"page {end}")
    return tuple(
        PageEndpoint(part=part, address=f"{ip}:{port}", given=tuple(sorted(paths)))
        for (part, ip, port), paths in sorted(given.items())
    )


async def is_http(ip: str, port: int, *, pid: int) -> bool:
    """Whether process `pid` answers there as an HTTP/1 server does, to a request for a foreign host."""
    return (await _ask(ip, port, PATHS[0], pid)).startswith(HTTP)


async def _ask_all(end: tuple[str, str, int], given: list[str], pid: int) -> None:
    """Add the paths that are served to `given`; stop at the first one without an answer."""
    for path in PATHS:
        head = await _ask(end[1], end[2], path, pid)
        words = head.split()
        if not head.startswith(HTTP):
            return
        if len(words) > 1 and words[1].isdigit() and int(words[1]) < REDIRECTED:
            given.append(path)


async def _ask(ip: str, port: int, path: str, pid: int) -> bytes:
    within_s = FIRST_ASK_S if path == PATHS[0] else ASK_S
    request = f"GET {path} HTTP/1.1\r\nHost: {FOREIGN_HOST}:{port}\r\nConnection: close\r\n\r\n"
    try:
        async with FairTimeout(within_s, waits_for=(pid,)):
            reader, writer = await asyncio.open_connection(ip, port)
            try:
                writer.write(request.encode())
                return await reader.read(HEAD_MAX)
            finally:
                writer.transport.abort()
    except (TimeoutError, OSError):
        return b""


def _listening(pids: Mapping[str, int]) -> set[tuple[str, str, int]]:
    import psutil  # noqa: PLC0415 - only here

    found: set[tuple[str, str, int]] = set()
    for part, pid in pids.items():
        try:
            process = psutil.Process(pid)
            ends = process.net_connections("tcp")
            if not ends:  # a script that started the part and waits for it
                ends = [end for child in process.children(recursive=True) for end in child.net_connections("tcp")]
        except psutil.Error:
            continue
        found |= {(part, end.laddr.ip, end.laddr.port) for end in ends if end.status == psutil.CONN_LISTEN}
    return found
