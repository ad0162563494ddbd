"""When a runner may take up work: only after a valid answer, and not long after the last one."""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from stigmer_cli.api.connection import ConnectionState
from stigmer_cli.api.identity import Identity, RunnerLoad
from stigmer_cli.errors import OperationFailed, Refused, ServerUnavailable, StigmerError, StoreBusy
from stigmer_cli.runner.poll_gate import MISMATCH_MAX_S, PollGate, mismatch_of
from stigmer_cli.runner.server_link import SERVED_MAX_S, STARVED_TIMES, LinkState, ServerLink
from stigmer_cli.temporal.connection import Connection, ConnectionStatus, Target
from tests.support.fakes import START, SwitchedLink
from tests.support.fakes_temporal import LoopClock, in_virtual_time
from tests.support.ids import OTHER_STORE, STORE

URL = "http://127.0.0.1:7234"
AWAY = ServerUnavailable("away")


def identity(store: str = STORE, *queues: str, cluster: str | None = None) -> Identity:
    return Identity(
        server_id="srv-01kqrxnp6m8w8t6e3d2m5k7j9z",
        store_id=store,
        version="1",
        namespace="default",
        task_queues=list(queues) or [f"stigmer-{store}"],
        temporal_cluster_id=cluster,
        now=START,
    )


class Scripted:
    """Answers, refuses, or hangs (None), as told; the last one for ever. Each answer takes `takes_s`."""

    def __init__(self, *answers: Identity | StigmerError | None, takes_s: float = 0.0) -> None:
        self.answers = list(answers)
        self.takes_s = takes_s

    async def identity(self, _load: RunnerLoad | None = None) -> Identity:
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        await asyncio.sleep(self.takes_s if answer is not None else 3600)
        if isinstance(answer, StigmerError):
            raise answer
        assert answer is not None
        return answer


def played(source: Scripted, *, for_s: float) -> tuple[Sequence[tuple[float, LinkState]], ServerLink, list[str]]:
    """When the link was in which state, the link, and the events that it logged."""

    async def main() -> tuple[list[tuple[float, LinkState]], ServerLink]:
        clock = LoopClock()
        link = ServerLink(source, url=URL, clock=clock)
        begun, states = clock.monotonic(), [(0.0, link.status.state)]

        async def follow() -> None:
            while True:
                await link.wait_changed(link.changes)
                states.append((round(clock.monotonic() - begun, 2), link.status.state))

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(follow()), group.create_task(link.run())]
            await asyncio.sleep(for_s)
            for task in tasks:
                task.cancel()
        return states, link

    with capture_logs() as lines:
        states, link = in_virtual_time(main())
    return states, link, [str(line["event"]) for line in lines]


def test_an_answer_opens_the_link_and_names_the_task_queues() -> None:
    states, link, events = played(Scripted(AWAY, identity()), for_s=1)
    assert [state for _, state in states] == [LinkState.ASKING, LinkState.ASKING, LinkState.SERVED]
    assert states[-1][0] == 0.03, "at first it asks often: everything waits for it"
    assert link.task_queues == [f"stigmer-{STORE}"]
    assert events == ["runner_waiting", "runner_served"]


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (AWAY, LinkState.SILENT),
        (StoreBusy("its database is away"), LinkState.SILENT),
        (None, LinkState.SILENT),
        (Refused("wrong token"), LinkState.REFUSED),
        (OperationFailed("no Stigmer server"), LinkState.FOREIGN),
    ],
)
def test_a_while_without_a_valid_answer_closes_it(error: StigmerError | None, state: LinkState) -> None:
    states, link, events = played(Scripted(identity(), error), for_s=10)
    assert [one for _, one in states] == [LinkState.ASKING, LinkState.SERVED, state]
    latest_s = SERVED_MAX_S if error else SERVED_MAX_S * STARVED_TIMES  # a machine without time is waited for
    assert SERVED_MAX_S <= states[-1][0] <= latest_s
    assert link.task_queues == ()
    assert events == ["runner_served", "runner_waiting"], "it is said once"


def test_a_server_that_is_started_again_within_two_seconds_changes_nothing() -> None:
    states, _link, events = played(Scripted(identity(), AWAY, AWAY, identity()), for_s=10)
    assert [one for _, one in states] == [LinkState.ASKING, LinkState.SERVED]
    assert events == ["runner_served"]


def test_a_slow_server_is_a_living_one() -> None:
    states, _link, _events = played(Scripted(identity(), takes_s=1.2), for_s=20)
    assert [one for _, one in states] == [LinkState.ASKING, LinkState.SERVED]


def test_it_goes_on_with_the_first_answer() -> None:
    states, _link, events = played(Scripted(identity(), *[AWAY] * 10, identity()), for_s=20)
    assert [one for _, one in states][-2:] == [LinkState.SILENT, LinkState.SERVED]
    assert events[-1] == "runner_served"


def test_another_store_is_logged_as_an_error_and_counts_at_once() -> None:
    states, link, events = played(Scripted(identity(), identity(OTHER_STORE)), for_s=1)
    assert [one for _, one in states] == [LinkState.ASKING, LinkState.SERVED, LinkState.SERVED]
    assert link.task_queues == [f"stigmer-{OTHER_STORE}"]
    assert "server_of_another_store" in events


def test_a_task_queue_of_before_is_polled_while_the_server_names_it() -> None:
    both = identity(STORE, f"stigmer-{STORE}", "stigmer")
    states, link, _events = played(Scripted(both, identity()), for_s=1)
    assert len(states) == 3
    assert link.task_queues == [f"stigmer-{STORE}"]


def status(*, cluster: str, namespace: str = "default") -> ConnectionStatus:
    link = SwitchedLink()
    link.put(ConnectionState.CONNECTED, cluster=cluster)
    found = link.status()
    assert found.namespace == "default"
    return found if namespace == "default" else _renamed(found, namespace)


def _renamed(found: ConnectionStatus, namespace: str) -> ConnectionStatus:

    return replace(found, namespace=namespace)


@pytest.mark.parametrize(
    ("server", "own", "words"),
    [
        (identity(cluster="cluster-1"), status(cluster="cluster-1"), ""),
        (identity(cluster=None), status(cluster="cluster-1"), ""),
        (identity(cluster=""), status(cluster="cluster-1"), ""),
        (identity(cluster="cluster-2"), status(cluster="cluster-1"), "is not the one of this runner's server"),
        (identity(), status(cluster="cluster-1", namespace="work"), "namespace work, its server in default"),
    ],
)
def test_runner_and_server_use_one_temporal(server: Identity, own: ConnectionStatus, words: str) -> None:
    found = mismatch_of(server, own)
    assert (words in found) if words else found == ""


def test_a_worker_that_is_on_outlives_a_temporal_that_only_one_of_them_has_noticed() -> None:
    async def main() -> list[str]:

        clock = LoopClock()
        link = ServerLink(Scripted(identity(cluster="new")), url=URL, clock=clock)
        connection = Connection(Target(address="127.0.0.1:1"), clock=clock, rng=random.Random(1), identity="t")
        connection.status = lambda: status(cluster="old")  # type: ignore[method-assign]
        gate = PollGate(link, connection, clock=clock)
        await link.run_once()
        queue = f"stigmer-{STORE}"
        found = [gate.why_closed(queue)]
        await asyncio.sleep(MISMATCH_MAX_S + 0.1)
        found += [gate.why_closed(queue), gate.why_shut(queue)]
        return found

    early, late, shut = in_virtual_time(main())
    assert early == ""
    assert (
        late
        == shut
        == "the Temporal at 127.0.0.1:7233 is not the one of this runner's server: " + ("set STIGMER_TEMPORAL_ADDRESS")
    )


@pytest.mark.parametrize(("server_ahead_s", "expected"), [(0.0, 0.0), (0.5, 0.0), (3600.5, -3600.0), (-299.5, 300.0)])
def test_the_offset_to_the_servers_clock_is_reported_as_far_as_an_answer_shows_it(
    server_ahead_s: float, expected: float
) -> None:
    async def main() -> float:
        clock = LoopClock()
        now = clock.now() + timedelta(seconds=server_ahead_s)
        link = ServerLink(Scripted(identity().model_copy(update={"now": now}), takes_s=1.0), url=URL, clock=clock)
        await link.run_once()
        return link.clock_ahead_s

    assert in_virtual_time(main()) == pytest.approx(expected, abs=0.001)


@pytest.mark.parametrize(
    ("busy", "takes_s", "asks"),
    [(0, 0.0, 6), (1, 0.0, 14), (0, 0.2, 11), (None, 0.0, 14)],  # None: there is no worker yet
)
def test_a_runner_with_nothing_to_do_asks_less_often_while_it_is_answered_at_once(
    busy: int | None, takes_s: float, asks: int
) -> None:
    load = None if busy is None else RunnerLoad(runner="one", busy=busy, slots=50)
    told: list[RunnerLoad | None] = []

    class Counted(Scripted):
        async def identity(self, load: RunnerLoad | None = None) -> Identity:
            told.append(load)
            return await super().identity(load)

    async def main() -> None:
        link = ServerLink(Counted(identity(), takes_s=takes_s), url=URL, clock=LoopClock(), load=lambda: load)
        async with asyncio.TaskGroup() as group:
            asking = group.create_task(link.run())
            await asyncio.sleep(10.4)
            asking.cancel()

    in_virtual_time(main())
    assert len(told) == asks
