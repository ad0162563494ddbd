"""Faults of Temporal itself, T1 to T15: killed, frozen, emptied, aged, forgetful, refusing, and asked too much."""

import asyncio
import random
import subprocess
from contextlib import suppress
from dataclasses import replace

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import DeleteWorkflowExecutionRequest
from temporalio.client import Client
from temporalio.service import RPCError

from stigmer_cli.domain.identity import StoreId
from stigmer_cli.temporal.dev_server import dev_server_argv, find_binary
from tests.chaos.fault import RARE, Act, Fault, Shows
from tests.chaos.faults.network import clear_toxics
from tests.chaos.faults.runner import freeze_all, thaw_all
from tests.chaos.frames import Code
from tests.chaos.harness import NAMESPACE, Harness
from tests.chaos.proxy import Refusing
from tests.chaos.workload import ENDLESS, GREETER, HUGE, SLOW, UNKNOWN
from tests.support.ids import workflow
from tests.support.polling import eventually

LOOP_TURNS = 3
NO_HOSTS = "Not enough hosts to serve the request"


async def kill(harness: Harness, _rng: random.Random) -> None:
    harness.temporal.kill()


async def start(harness: Harness, _rng: random.Random) -> None:
    await asyncio.to_thread(harness.temporal.start)


async def _kill_in_the_middle(harness: Harness, rng: random.Random) -> None:
    harness.workload.request(8)
    await asyncio.sleep(rng.uniform(0.005, 0.08))
    harness.temporal.kill()


async def _loop_of_crashes(harness: Harness, _rng: random.Random) -> None:
    harness.temporal.kill()
    argv = dev_server_argv(binary=find_binary(None), port=harness.temporal.port, file=None)
    for _ in range(LOOP_TURNS):
        ended = await asyncio.to_thread(subprocess.run, [*argv, "--no-such-flag"], capture_output=True, check=False)
        assert ended.returncode == 1, ended


async def _freeze(harness: Harness, _rng: random.Random) -> None:
    harness.temporal.freeze()


async def _thaw(harness: Harness, _rng: random.Random) -> None:
    harness.temporal.thaw()


async def _replace(harness: Harness, rng: random.Random) -> None:
    await kill(harness, rng)
    await start(harness, rng)


async def start_empty(harness: Harness, rng: random.Random) -> None:
    harness.temporal.forget()
    await start(harness, rng)


async def _restore_older_database(harness: Harness, rng: random.Random) -> None:
    """Restore a copy of the database: workflows that were started after the copy are gone."""
    harness.temporal.kill()
    harness.keep_database()
    await start(harness, rng)
    requests = [*harness.workload.request(4), *harness.workload.request(2, SLOW)]

    async def one_is_submitted() -> bool:
        return any(wanted.ids for wanted in requests)

    with suppress(AssertionError):
        await eventually(one_is_submitted, within_s=2.0)
    await asyncio.sleep(rng.uniform(0.0, 0.3))
    harness.temporal.kill()
    harness.bring_back_older_database()


async def _switch_to_other_temporal(harness: Harness, _rng: random.Random) -> None:
    """Point the proxy at a Temporal that lacks the namespace."""
    await asyncio.to_thread(harness.other_temporal.start)
    harness.proxy.to_port = harness.other_temporal.port
    harness.proxy.reset()


async def _switch_back(harness: Harness, _rng: random.Random) -> None:
    harness.proxy.to_port = harness.temporal.port
    harness.proxy.reset()
    harness.other_temporal.kill()


async def _forget_some(harness: Harness, rng: random.Random) -> None:
    """Delete the history of some that no run has claimed yet, and of some that are under way, as retention does."""
    slow = harness.workload.request(2, SLOW)
    await asyncio.sleep(0.2)
    await freeze_all(harness, rng)
    try:
        fresh = harness.workload.request(4)
        await asyncio.sleep(0.3)
        for wanted in (*slow[:1], *fresh[:3]):
            for name in wanted.ids:
                await delete_history(harness, name)
    finally:
        await thaw_all(harness, rng)


async def delete_history(harness: Harness, name: str) -> None:
    """Delete the workflow of the first epoch of an execution."""
    harness.forgotten.add(name)
    client = await Client.connect(harness.temporal.address, namespace=NAMESPACE)
    store = StoreId((await harness.client.identity()).store_id)
    known = WorkflowExecution(workflow_id=workflow(name, store=store).id)
    with suppress(RPCError):  # it was never started: then there is nothing to forget
        await client.workflow_service.delete_workflow_execution(
            DeleteWorkflowExecutionRequest(namespace=NAMESPACE, workflow_execution=known)
        )


def _refusing(refusing: Refusing) -> Act:
    async def inject(harness: Harness, _rng: random.Random) -> None:
        harness.proxy.toxics = replace(harness.proxy.toxics, calls=refusing)

    return inject


async def _ask_too_much(harness: Harness, _rng: random.Random) -> None:
    harness.workload.request(1, size=HUGE)
    harness.workload.request(1, size=ENDLESS)
    harness.workload.request(1, UNKNOWN)
    harness.workload.request(4, GREETER)


VISIBILITY = Refusing(answers=((Code.UNAVAILABLE, "visibility is away"),), methods=("List", "Count", "Scan"))
MIXED = Refusing(
    answers=(
        (Code.RESOURCE_EXHAUSTED, "namespace rate limit exceeded"),
        (Code.UNAVAILABLE, "the service is currently unavailable"),
    ),
    chance=0.3,
)
NO_STARTS = Refusing(answers=((Code.UNAVAILABLE, NO_HOSTS),), methods=("StartWorkflow",))
DENIED = Refusing(answers=((Code.PERMISSION_DENIED, "Request unauthorized."),))

TEMPORAL: tuple[Fault, ...] = (
    Fault(name="T1 killed", inject=kill, heal=start, shows=Shows.CUT_OFF),
    Fault(name="T2 killed while it starts runs", inject=_kill_in_the_middle, heal=start, shows=Shows.CUT_OFF),
    Fault(name="T3 crash loop", inject=_loop_of_crashes, heal=start, shows=Shows.CUT_OFF),
    Fault(name="T4 frozen", inject=_freeze, heal=_thaw, lasts_s=(0.0, 1.0), shows=Shows.CUT_OFF, weight=RARE),
    Fault(
        name="T5 frozen for good", inject=_freeze, heal=_replace, lasts_s=(0.0, 0.0), shows=Shows.CUT_OFF, weight=RARE
    ),
    Fault(name="T7 emptied", inject=kill, heal=start_empty, shows=Shows.CUT_OFF, forgets=True),
    Fault(
        name="T8 older database",
        inject=_restore_older_database,
        heal=start,
        shows=Shows.CUT_OFF,
        forgets=True,
        weight=RARE,
    ),
    Fault(
        name="T9 namespace missing",
        inject=_switch_to_other_temporal,
        heal=_switch_back,
        lasts_s=(0.3, 1.0),
        shows=Shows.CUT_OFF,
        is_quiet=True,
    ),
    Fault(name="T10 history gone", inject=_forget_some, weight=RARE),
    Fault(name="T11 visibility away", inject=_refusing(VISIBILITY), heal=clear_toxics),
    Fault(name="T12 30 % refused", inject=_refusing(MIXED), heal=clear_toxics, lasts_s=(0.8, 1.6)),
    Fault(name="T13 starts refused", inject=_refusing(NO_STARTS), heal=clear_toxics, shows=Shows.STRAINED),
    Fault(
        name="T14 permission denied", inject=_refusing(DENIED), heal=clear_toxics, shows=Shows.CUT_OFF, is_quiet=True
    ),
    Fault(name="T15 asked too much", inject=_ask_too_much, lasts_s=(0.2, 0.4)),
)
