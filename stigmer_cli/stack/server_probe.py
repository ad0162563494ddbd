"""What the server says about itself, Temporal and the runners, asked over bare streams: httpx imports too slowly."""

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

from stigmer_cli.domain.identity import is_fresh
from stigmer_cli.errors import ConfigError, ServerBusy, ServerUnproven, reason_of
from stigmer_cli.fair_timeout import FairTimeout
from stigmer_cli.stack.http_get import http_get
from stigmer_cli.time_format import span

STARVED_MAX_S = 10.0
"""How long an observation takes at most by the clock, on an overloaded machine."""

OK, UNAUTHORIZED, MISDIRECTED, UNAVAILABLE = 200, 401, 421, 503
CONNECTION_FIELDS = ("address", "namespace", "state", "since", "cause", "attempt", "nextTryAt", "reconnects", "history")
FOREIGN = "answers, but not as a Stigmer server does"


@dataclass(frozen=True, kw_only=True)
class RunnerPoller:
    """A runner that Temporal has seen asking for work, `silent_s` seconds ago; `is_gone` where it does so no more."""

    identity: str
    silent_s: float = 0.0
    is_gone: bool = False

    @property
    def is_live(self) -> bool:
        """Whether it asks for work."""
        return is_fresh(self.silent_s) and not self.is_gone


@dataclass(frozen=True, kw_only=True)
class ServerObservation:
    """One observation of the server. `why` is empty where it is ready; the rest is what it said, None where it did not.

    `is_unproven` where the process that answered has not proven to be this home's server; nothing was sent to it.
    """

    why: str = ""
    is_unproven: bool = False
    pid: int | None = None
    version: str | None = None
    state: str | None = None
    reasons: tuple[str, ...] = ()
    temporal_state: str | None = None
    temporal_cause: str = ""
    temporal_since: str | None = None
    pollers: tuple[RunnerPoller, ...] = ()
    store: str = ""
    connection: Mapping[str, object] = field(default_factory=dict)


class ServerProbe:
    """Asks /readyz and /v1/health at once."""

    def __init__(
        self, url: str, token: str | None, *, ca_file: str | None = None, is_insecure_allowed: bool = False
    ) -> None:
        """`ca_file`: the authority of an https server (PEM), None: the system's."""
        self.url, self._token, self._ca_file = url, token, ca_file
        self._is_insecure_allowed = is_insecure_allowed

    async def observe(self, within_s: float, *, waits_for: Sequence[int] = ()) -> ServerObservation:
        """What the server says within `within_s` seconds of available processor time.

        Time in which this process, or the server's processes `waits_for`, could not run does not count (FairTimeout).
        """
        try:
            async with (
                asyncio.timeout(STARVED_MAX_S),
                FairTimeout(within_s, waits_for=waits_for),
                asyncio.TaskGroup() as group,
            ):
                asking = [
                    group.create_task(self._answer_or_cause(path), name=path) for path in ("/readyz", "/v1/health")
                ]
        except TimeoutError:
            return ServerObservation(why=f"not answering within {span(within_s)}")
        ready, health = (task.result() for task in asking)
        if isinstance(ready, ServerObservation) or isinstance(health, ServerObservation):
            return ready if isinstance(ready, ServerObservation) else cast("ServerObservation", health)
        if health[0] == UNAUTHORIZED and self._token is None:
            return ServerObservation(why="wants a token, and none was sent")
        return _read_answers(*ready, *health)

    async def _answer_or_cause(self, path: str) -> "tuple[int, Mapping[str, object]] | ServerObservation":
        """The answer, or the observation where there is none.

        Never an exception: before Python 3.13 a task that fails in a TaskGroup leaves its parent half cancelled, and
        neither a deadline around it nor Ctrl-C is recognised any more.
        """
        url, is_told = f"{self.url}{path}", self._is_insecure_allowed
        try:
            return await get_json(url, self._token, ca_file=self._ca_file, is_insecure_allowed=is_told)
        except ServerUnproven as error:
            return ServerObservation(why=error.message, is_unproven=True)
        except ServerBusy as error:
            return ServerObservation(why=error.message)
        except (OSError, ValueError, ConfigError) as error:
            return ServerObservation(why=await cause_of(error, url, self._ca_file))


async def cause_of(error: Exception, url: str, ca_file: str | None) -> str:
    """Why `get_json` raised `error`, in words."""
    if isinstance(error, ConfigError):
        return f"{error.message} ({error.hint})"
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    from stigmer_cli.tls.link import Link  # noqa: PLC0415 - for a server that cannot be reached

    with contextlib.suppress(ConfigError):
        if told := await Link(url, ca_file).why_not(error):
            return told
    if isinstance(error, OSError):
        return reason_of(error)
    return FOREIGN


async def get_json(
    url: str, token: str | None, *, ca_file: str | None = None, is_insecure_allowed: bool = False
) -> tuple[int, Mapping[str, object]]:
    """Status and body of a GET; raises as `http_get` does."""
    answer = await http_get(url, token, ca_file=ca_file, is_insecure_allowed=is_insecure_allowed)
    return answer.status, answer.body


def _read_answers(
    ready_code: int, ready: Mapping[str, object], health_code: int, health: Mapping[str, object]
) -> ServerObservation:
    if UNAUTHORIZED in (ready_code, health_code):
        return ServerObservation(why="refuses the token of this command")
    if health_code == UNAVAILABLE and isinstance(health.get("detail"), str):
        return ServerObservation(why=str(health["detail"]))
    if health_code == MISDIRECTED:
        return ServerObservation(why="does not answer under this name: its STIGMER_ALLOWED_HOSTS does not list it")
    if health_code != OK or not isinstance(health.get("pid"), int):
        return ServerObservation(why=FOREIGN)
    is_ready = ready_code == OK and ready.get("ready") is True
    temporal, queue = _object(health.get("temporal")), _object(health.get("taskQueue"))
    return ServerObservation(
        why="" if is_ready else "; ".join(_strings(ready.get("reasons"))) or "not ready yet",
        pid=int(str(health["pid"])),
        version=_text(health.get("version")),
        state=_text(health.get("state")),
        reasons=tuple(_strings(health.get("reasons"))),
        temporal_state=_text(temporal.get("state")),
        temporal_cause=_text(temporal.get("cause")) or "",
        temporal_since=_text(temporal.get("since")),
        pollers=tuple(_pollers(queue.get("pollers"))),
        store=_text(_object(health.get("store")).get("kind")) or "",
        connection={name: temporal.get(name) for name in CONNECTION_FIELDS} if temporal else {},
    )


def _pollers(value: object) -> list[RunnerPoller]:
    found = []
    for item in value if isinstance(value, list) else []:
        with contextlib.suppress(KeyError, TypeError, ValueError):
            silent_s, is_gone = float(item.get("silentS", 0.0)), item.get("isGone") is True
            found.append(RunnerPoller(identity=str(item["identity"]), silent_s=silent_s, is_gone=is_gone))
    return found


def _object(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


def _strings(value: object) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list) else []


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
