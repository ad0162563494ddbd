"""Faults between a stack and a Temporal that somebody else runs."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest
from temporalio.client import Client
from temporalio.service import RPCError

from tests.chaos.frames import Code
from tests.chaos.proxy import Refusing, Toxics
from tests.e2e.faults.harness import EXTERNAL_NAMESPACE, Harness
from tests.support.polling import wait_until

SLOW_S = 2.0
NO_ROOM = "namespace rate limit exceeded"


def hurt(toxics: Toxics) -> Callable[[Harness], AbstractContextManager[None]]:
    """The fault that is `toxics` on every connection, once the server has noticed."""

    @contextmanager
    def inject(harness: Harness) -> Iterator[None]:
        with harness.between.hurting(toxics):
            wait_until(lambda: harness.stigmer.json("status")["reasons"], "the server has noticed")
            yield

    return inject


def refused(code: Code, words: str, *methods: str) -> Toxics:
    """Calls of these methods are answered with `code`; of all, where none is named."""
    return Toxics(calls=Refusing(answers=((code, words),), methods=methods or ("",)))


@contextmanager
def no_visibility(harness: Harness) -> Iterator[None]:
    """Nothing can be listed or counted."""

    async def listed() -> None:
        client = await Client.connect(harness.between.address, namespace=EXTERNAL_NAMESPACE)
        async for _ in client.list_workflows():
            break

    with harness.between.hurting(refused(Code.PERMISSION_DENIED, "no visibility", "List", "Count", "Scan")):
        with pytest.raises(RPCError, match="no visibility"):
            asyncio.run(listed())
        harness.stigmer.ok("run", "greeter", "hello", "--timeout", "30")
        yield


@contextmanager
def no_room(harness: Harness) -> Iterator[None]:
    """Starts are refused for want of room; an execution waits."""
    with harness.between.hurting(refused(Code.RESOURCE_EXHAUSTED, NO_ROOM, "Start")):
        harness.stigmer.ok("run", "greeter", "hello", "--detach")
        wait_until(lambda: harness.stigmer.json("status")["reasons"], "the server has noticed")
        yield


@contextmanager
def no_namespace(harness: Harness) -> Iterator[None]:
    """The namespace is deleted."""
    harness.outside.operator("namespace", "delete", "-n", EXTERNAL_NAMESPACE, "--yes")
    wait_until(lambda: harness.stigmer.json("status")["reasons"], "the server has noticed")
    yield
