"""Failpoints: places between two steps of the real program at which a test kills or blocks it.

The program itself does not contain them. A process whose PYTHONPATH begins with `inject/` wraps the functions below as
they are imported; each time one is reached, a line is appended to the ledger (the record of reached points), and what
is planned for the point is done:

    plan      one `POINT=kill`, `POINT=kill@3` (the third time) or `POINT=sleep:5` (the whole thread, seconds) a line
    reached   one JSON object a line: the point, the process, and the ids that the call was about

A line of the plan is removed before it is executed, so that the next process survives. If a function does not exist
any more, the process ends at once with a message.
"""

import fnmatch
import functools
import json
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

VARIABLE = "FAILPOINTS"
"""The folder of plan and ledger; without it nothing is wrapped."""

GONE = 97
"""The exit code of a process that lacks what a failpoint wraps."""


class When(StrEnum):
    """On which side of the function the point lies."""

    BEFORE = "before"
    AFTER = "after"


@dataclass(frozen=True)
class Point:
    """A side of a coroutine function `module:owner.function`; `function` may be a pattern, which must match.

    `owner` is a class, or empty for a function of the module, whose name other modules must not import before.
    """

    name: str
    when: When
    module: str
    owner: str
    function: str


GATEWAY = "stigmer_cli.temporal.gateway"
ROWS = "stigmer_cli.store.executions"
RUNS = "stigmer_cli.store.runs"
META = "stigmer_cli.store.meta"
LEASE = "stigmer_cli.executions.reconcile.lease"
REPORTS = "stigmer_cli.run_reports"
STEPS = "stigmer_cli.store.steps"
TOOLS = "stigmer_cli.tool_server.connection"
WAITS = "stigmer_cli.store.waits"
EVENTS = "stigmer_cli.store.cloud_events"
RESUMING = "stigmer_cli.store.resuming"

SERVER_POINTS = (
    Point("accept committed", When.AFTER, ROWS, "ExecutionTable", "accept"),
    Point("submit begins", When.BEFORE, GATEWAY, "Gateway", "start"),
    Point("submit answered", When.AFTER, GATEWAY, "Gateway", "start"),
    Point("mark committed", When.AFTER, ROWS, "ExecutionTable", "mark_*submitted"),
    Point("claim arrived", When.BEFORE, RUNS, "RunTable", "claim_and_begin"),
    Point("claim committed", When.AFTER, RUNS, "RunTable", "claim_and_begin"),
    Point("outcome arrived", When.BEFORE, RUNS, "RunTable", "finish"),
    Point("outcome committed", When.AFTER, RUNS, "RunTable", "finish"),
)
RUNNER_POINTS = (
    Point("claim wanted", When.BEFORE, REPORTS, "RunReports", "claim_and_begin"),
    Point("claim answered", When.AFTER, REPORTS, "RunReports", "claim_and_begin"),
    Point("message taken", When.AFTER, REPORTS, "RunReports", "append_message"),
    Point("outcome wanted", When.BEFORE, REPORTS, "RunReports", "finish"),
    Point("outcome taken", When.AFTER, REPORTS, "RunReports", "finish"),
)
RECONCILE_POINTS = (
    Point("turn taken", When.AFTER, META, "MetaTable", "get_or_set"),
    Point("workflow looked for", When.AFTER, GATEWAY, "Gateway", "describe"),
    Point("turn renewed", When.AFTER, LEASE, "HeldLease", "renew"),
    Point("moves decided", When.BEFORE, ROWS, "ExecutionTable", "transition_all"),
    Point("moves committed", When.AFTER, ROWS, "ExecutionTable", "transition_all"),
    Point("settling seen", When.AFTER, ROWS, "ExecutionTable", "find_unsubmitted"),
    Point("turn ends", When.BEFORE, LEASE, "HeldLease", "give_back"),
    Point("turn given back", When.AFTER, LEASE, "HeldLease", "give_back"),
)
"""Points of a requested reconcile only; its submits pass the points of the dispatcher."""

SERVER_STEP_POINTS = (
    Point("step begin arrived", When.BEFORE, STEPS, "StepTable", "begin"),
    Point("step begin committed", When.AFTER, STEPS, "StepTable", "begin"),
    Point("step end arrived", When.BEFORE, STEPS, "StepTable", "finish"),
    Point("step end committed", When.AFTER, STEPS, "StepTable", "finish"),
)
RUNNER_STEP_POINTS = (
    Point("step begin wanted", When.BEFORE, REPORTS, "RunReports", "begin_step"),
    Point("step begin answered", When.AFTER, REPORTS, "RunReports", "begin_step"),
    Point("call begins", When.BEFORE, TOOLS, "ToolServer", "call"),
    Point("call answered", When.AFTER, TOOLS, "ToolServer", "call"),
    Point("step end wanted", When.BEFORE, REPORTS, "RunReports", "finish_step"),
    Point("step end taken", When.AFTER, REPORTS, "RunReports", "finish_step"),
)
"""Points of the journal, around begin, effect and end of each step."""

SERVER_WAKE_POINTS = (
    Point("timer due", When.BEFORE, WAITS, "WaitTable", "wake"),
    Point("timer ended", When.AFTER, "stigmer_cli.store.step_rows", "", "write_end"),
    Point("timer committed", When.AFTER, WAITS, "WaitTable", "wake"),
    Point("decision arrived", When.BEFORE, WAITS, "WaitTable", "decide"),
    Point("decision written", When.AFTER, "stigmer_cli.store.decisions", "", "write_ruling"),
    Point("decision committed", When.AFTER, WAITS, "WaitTable", "decide"),
    Point("event arrived", When.BEFORE, EVENTS, "CloudEventTable", "publish"),
    Point("listeners woken", When.AFTER, "stigmer_cli.store.listeners", "", "wake_listeners"),
    Point("event committed", When.AFTER, EVENTS, "CloudEventTable", "publish"),
    Point("parent woken", When.AFTER, "stigmer_cli.store.children", "ChildTable", "_wake_parents"),
    Point("resume arrived", When.BEFORE, RESUMING, "ResumeTable", "resume"),
    Point("limits renewed", When.AFTER, "stigmer_cli.store.agent_versions", "", "renew_pin"),
    Point("resume committed", When.AFTER, RESUMING, "ResumeTable", "resume"),
)
"""Before, within and after the commit that ends a wait. The end of a child passes those of its outcome as well."""

RUNNER_WAKE_POINTS = (
    Point("journal read", When.AFTER, REPORTS, "RunReports", "read_recorded_steps"),
    Point("decisions read", When.AFTER, REPORTS, "RunReports", "read_decisions"),
)
"""In the replay that follows; "step begin wanted" is just after it."""

WAKE_POINTS = (*SERVER_WAKE_POINTS, *RUNNER_WAKE_POINTS)
POINTS = (
    *SERVER_POINTS,
    *RUNNER_POINTS,
    *RECONCILE_POINTS,
    *SERVER_STEP_POINTS,
    *RUNNER_STEP_POINTS,
    *WAKE_POINTS,
)
MODULES = frozenset(point.module for point in POINTS)


class Missing(Exception):
    """What a failpoint wraps is not in the program."""


@dataclass
class Failpoints:
    """Plan and ledger of one process and its successors, in `folder`."""

    folder: Path
    _counted: Counter[str] = field(default_factory=Counter)

    @property
    def plan(self) -> Path:
        """The plan's file; absent while nothing is planned."""
        return self.folder / "plan"

    @property
    def reached(self) -> Path:
        """The ledger's file."""
        return self.folder / "reached"

    def reach(self, point: Point, ids: dict[str, object]) -> None:
        """Write down that `point` is reached, and do what is planned for it."""
        act = self._act(point.name)
        known = {"point": point.name, "at": time.time(), "pid": os.getpid(), "act": act, **ids}
        line = json.dumps(known) + "\n"
        ledger = os.open(self.reached, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.write(ledger, line.encode())
        os.close(ledger)
        if act == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        elif act.startswith("sleep:"):
            time.sleep(float(act.removeprefix("sleep:")))  # on purpose not asyncio's: the whole loop stands still

    def _act(self, name: str) -> str:
        """What the plan asks for now; removes that line from it."""
        try:
            lines = self.plan.read_text().splitlines()
        except FileNotFoundError:
            self._counted.clear()
            return ""
        self._counted[name] += 1
        for line in lines:
            planned, _, act = line.partition("=")
            act, _, number = act.partition("@")
            if planned == name and self._counted[name] == int(number or 1):
                self._remove(lines, line)
                return act
        return ""

    def _remove(self, lines: Sequence[str], line: str) -> None:
        rest = [other for other in lines if other != line]
        self.plan.write_text("\n".join(rest)) if rest else self.plan.unlink()


class Wrapping(MetaPathFinder):
    """Finds the modules of the points as Python does, and wraps their functions once they are executed."""

    def __init__(self, failpoints: Failpoints) -> None:
        self._failpoints = failpoints

    def find_spec(self, name: str, path: Sequence[str] | None, _target: ModuleType | None = None) -> ModuleSpec | None:
        """The module's own spec, with a loader that wraps afterwards; None for any other module."""
        if name not in MODULES:
            return None
        spec = PathFinder.find_spec(name, path)
        if spec is None or spec.loader is None:
            return None
        execute = spec.loader.exec_module

        def executed(module: ModuleType) -> None:
            execute(module)
            try:
                wrap(module, self._failpoints)
            except Missing as missing:
                os.write(2, f"{missing}\n".encode())
                os._exit(GONE)

        spec.loader.exec_module = executed  # type: ignore[method-assign]
        return spec


def switch_on() -> None:
    """Wrap whatever is imported from now on, if the environment asks for it."""
    folder = os.environ.get(VARIABLE)
    if folder:
        sys.meta_path.insert(0, Wrapping(Failpoints(Path(folder))))


def wrap(module: ModuleType, failpoints: Failpoints) -> None:
    """Put every point of `module` in its place; raises Missing."""
    for point in POINTS:
        if point.module == module.__name__:
            owner = owner_of(point, module)
            for name in functions_of(point, owner):
                setattr(owner, name, _wrapped(getattr(owner, name), point, failpoints))


def owner_of(point: Point, module: ModuleType) -> object:
    """What has the functions of `point`; None if it does not exist."""
    return getattr(module, point.owner, None) if point.owner else module


def functions_of(point: Point, owner: object) -> Sequence[str]:
    """The functions of `owner` at which `point` lies; raises Missing."""
    found = fnmatch.filter(vars(owner) if owner is not None else (), point.function)
    if not found:
        raise Missing(f"no {point.module}:{point.owner}.{point.function}, which the failpoint {point.name!r} wraps")
    return found


def _wrapped(function: Callable[..., Awaitable[Any]], point: Point, failpoints: Failpoints) -> Any:
    @functools.wraps(function)
    async def run(*args: object, **kwargs: object) -> object:
        ids = dict(_ids(args, kwargs))
        if point.when is When.BEFORE:
            failpoints.reach(point, ids)
        answer = await function(*args, **kwargs)
        if point.when is When.AFTER:
            failpoints.reach(point, ids)
        return answer

    return run


def _ids(args: Sequence[object], kwargs: dict[str, object]) -> Iterator[tuple[str, object]]:
    """What the call was about, as far as ids, numbers and runs say it; never the texts of users."""
    for value in (*args[1:], *kwargs.values()):
        if isinstance(value, str) and value.startswith(("aex-", "wex-")):
            yield "execution", value
    for name in ("epoch", "run", "attempt"):
        if name in kwargs:
            yield name, kwargs[name]
    if "claimant" in kwargs:
        yield "run", getattr(kwargs["claimant"], "run", "")
