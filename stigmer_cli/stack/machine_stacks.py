"""Every stack of this user on this machine: those on the list of known homes, and those whose supervisor runs."""

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from stigmer_cli.clock import Clock
from stigmer_cli.credential import read_token
from stigmer_cli.domain.phase import Phase
from stigmer_cli.errors import ConfigError, StigmerError
from stigmer_cli.options import HOME_VARIABLE
from stigmer_cli.settings import Home, Settings, find_doubts, load
from stigmer_cli.stack.endpoints_file import read_endpoints
from stigmer_cli.stack.known_homes import KnownHomes
from stigmer_cli.stack.precedence import follow_running_stack, keep_recorded
from stigmer_cli.stack.server_probe import OK, get_json
from stigmer_cli.stack.settings_record import read_settings_record
from stigmer_cli.stack.status import StackState, ask_supervisor, status

ANSWER_MAX_S = 1.0
OPEN_PHASES = (Phase.PENDING, Phase.IN_PROGRESS)


class HomeState(StrEnum):
    """What `stigmer ls` says of a home beside the states of a stack."""

    GONE = "gone"
    """Its folder is no longer there."""

    REFUSED = "refused"
    """It cannot be trusted, or its files cannot be read."""


@dataclass(frozen=True, kw_only=True)
class StackSight:
    """One home of the machine. `detail` says why it is refused, or what is wrong there; None is what is not known."""

    home: Path
    state: StackState | HomeState
    detail: str = ""
    server_port: int | None = None
    temporal_port: int | None = None
    open_executions: int | None = None
    version: str | None = None

    @property
    def is_running(self) -> bool:
        """Whether processes of it run."""
        return self.state in (StackState.READY, StackState.BUSY, StackState.DEGRADED)

    def to_json(self) -> dict[str, object]:
        """The JSON object."""
        return {
            "home": str(self.home),
            "state": self.state,
            "detail": self.detail,
            "serverPort": self.server_port,
            "temporalPort": self.temporal_port,
            "openExecutions": self.open_executions,
            "version": self.version,
        }


async def find_stacks(known: KnownHomes, more: Sequence[Path], *, clock: Clock) -> Sequence[StackSight]:
    """The stacks of the `known` homes and of `more`, by path; within some three seconds, however many of them hang.

    A home that is gone is in the answer once, and then no longer on the list. One of several names, as through a link,
    is in it once, by that of `more` that comes first.
    """
    paths = _drop_aliases([*more, *known.read()])
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_look_at(path, clock), name=str(path)) for path in paths]
    seen = [task.result() for task in tasks]
    for one in seen:
        if one.state is HomeState.GONE:
            known.forget(one.home)
    return seen


def _drop_aliases(paths: Iterable[Path]) -> Sequence[Path]:
    """The folders that `paths` name, each once by the first of its names, in the order of these."""
    found: dict[object, Path] = {}
    for path in paths:
        try:
            at = path.stat()
        except OSError:
            found.setdefault(path, path)
        else:
            found.setdefault((at.st_dev, at.st_ino), path)
    return sorted(found.values())


async def _look_at(path: Path, clock: Clock) -> StackSight:
    try:
        settings = _settings_of(path)
        if settings is None:
            return StackSight(home=path, state=HomeState.GONE)
        if settings.distrust:
            return StackSight(home=path, state=HomeState.REFUSED, detail=settings.distrust)
        return await _observe(settings, clock)
    except (StigmerError, OSError) as error:
        return StackSight(home=path, state=HomeState.REFUSED, detail=str(error))


def _settings_of(path: Path) -> Settings | None:
    """The settings that the stack in `path` has, or had last; nothing of this shell's. None: no such folder.

    A `config.toml` that cannot be read is one of its warnings, and hides no stack that runs.
    """
    if not path.is_dir():
        return None
    home = Home(path=path)
    try:
        settings = load({}, {HOME_VARIABLE: str(path)}, user_home=None, is_look=True)
    except ConfigError as error:
        doubts = find_doubts(home)
        settings = Settings(home=home, warnings=(error.message,), distrust=doubts[0].message if doubts else "")
    if settings.distrust:
        return settings
    record, found = read_settings_record(settings.home), read_endpoints(settings.home)
    return follow_running_stack(settings, found, record) if found else keep_recorded(settings, record)


async def _observe(settings: Settings, clock: Clock) -> StackSight:
    home = settings.home
    sight = StackSight(
        home=home.path,
        state=StackState.STOPPED,
        detail="; ".join(settings.warnings),
        server_port=settings.server_port,
        temporal_port=settings.temporal_port if settings.runs_own_temporal else None,
    )
    seen = await ask_supervisor(home, within_s=ANSWER_MAX_S, clock=clock)
    if not (seen.is_there or (seen.record is not None and seen.record.id.is_alive)):
        return sight  # its port is not asked: another stack may have it
    token = read_token(home)
    found = await status(settings, token=token, clock=clock)
    version, open_executions = await _ask_server(settings, token)
    return replace(sight, state=found.state, version=version, open_executions=open_executions)


async def _ask_server(settings: Settings, token: str | None) -> tuple[str | None, int | None]:
    """The version of the server, and how many of its executions are open; None where it does not say."""
    with suppress(StigmerError, OSError, ValueError):
        async with asyncio.timeout(ANSWER_MAX_S):
            code, health = await get_json(f"{settings.server_target}/v1/health", token)
        executions = health.get("executions")
        phases = executions.get("phases") if isinstance(executions, dict) else None
        if code == OK:
            count = sum(int(phases.get(one, 0)) for one in OPEN_PHASES) if isinstance(phases, dict) else None
            return str(health.get("version")), count
    return None, None
