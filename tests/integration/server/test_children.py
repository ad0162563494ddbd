"""Executions that a workflow asks for: the same request gives the same one, another request is refused."""

from dataclasses import replace
from pathlib import Path

import pytest

from stigmer_cli.domain.identity import ExecutionId
from stigmer_cli.errors import Conflict
from stigmer_cli.executions.accept import SubmitRequest
from stigmer_cli.store import resumed_workflows
from stigmer_cli.store.children import REPLACED_MAX, make_child_id
from stigmer_cli.store.resuming import Decision
from stigmer_cli.store.store import Store
from tests.contracts.store.test_resuming_workflows import ended, fail
from tests.contracts.store.test_workflows import accept, running, workflow
from tests.integration.server.test_direct import applications


async def release(store: Store, id_: ExecutionId) -> None:
    async with store._database.writing() as writing:
        await resumed_workflows.release(writing, [id_])


async def test_a_step_starts_one_execution_and_no_other_one_until_it_is_replaced(tmp_path: Path) -> None:
    async with applications(tmp_path) as (called, _app):
        await called.store.workflows.apply([workflow("parent")])
        parent = (await accept(called.store, "parent", {})).id
        request = SubmitRequest(agent="greeter", message="hi", parent=parent)
        first = await called.acceptor.accept_child(request, "/do/0/a")
        assert (await called.acceptor.accept_child(request, "/do/0/a")).id == first.id
        with pytest.raises(Conflict, match=f"step /do/0/a of {parent} asked for something else when it started"):
            await called.acceptor.accept_child(replace(request, message="ho"), "/do/0/a")
        for number in range(1, REPLACED_MAX + 1):
            await release(called.store, first.id)
            first = await called.acceptor.accept_child(replace(request, message=f"{number}"), "/do/0/a")
            assert first.id == make_child_id(parent, "/do/0/a", first.kind, number)
        await release(called.store, first.id)
        with pytest.raises(Conflict, match=f"has started {REPLACED_MAX + 1} executions one after the other"):
            await called.acceptor.accept_child(request, "/do/0/a")


async def test_a_step_goes_on_waiting_for_the_execution_that_took_the_place_of_a_deleted_one(tmp_path: Path) -> None:
    async with applications(tmp_path) as (called, _app):
        await called.store.workflows.apply([workflow("parent")])
        parent = (await accept(called.store, "parent", {})).id
        request = SubmitRequest(agent="greeter", message="hi", parent=parent)
        first = await called.acceptor.accept_child(request, "/do/0/a")
        await release(called.store, first.id)
        second = await called.acceptor.accept_child(request, "/do/0/a")
        assert await called.store.pruning.delete([first.id]) == {first.id}
        assert (await called.acceptor.accept_child(request, "/do/0/a")).id == second.id
        await release(called.store, second.id)
        third = await called.acceptor.accept_child(request, "/do/0/a")
        assert third.id == make_child_id(parent, "/do/0/a", first.kind, 2), "no id is used twice"


async def test_a_step_that_does_not_wait_starts_one_execution_which_is_nobodys_child(tmp_path: Path) -> None:
    async with applications(tmp_path) as (called, _app):
        await called.store.workflows.apply([workflow("starter")])
        starter = (await accept(called.store, "starter", {})).id
        request = SubmitRequest(agent="", workflow="starter", message="{}", started_by=starter)
        first = await called.acceptor.accept_child(request, "/do/0/a")
        assert first.id == make_child_id(starter, "/do/0/a", first.kind)
        assert (await called.acceptor.accept_child(request, "/do/0/a")).id == first.id
        assert await called.store.children.find_depth(first.id) == 0
        await called.store.executions.request_cancel(starter)
        assert await called.store.children.find_abandoned(limit=5) == []


async def test_a_step_that_a_person_goes_back_to_starts_another_execution_beside_the_first(tmp_path: Path) -> None:
    async with applications(tmp_path) as (called, _app):
        await called.store.workflows.apply([workflow("starter")])
        starter = await running(called.store, "starter")
        request = SubmitRequest(agent="", workflow="starter", message="{}", started_by=starter)
        first = await called.acceptor.accept_child(request, "/do/0/a")
        kept = await called.acceptor.accept_child(request, "/do/1/b")
        await ended(called.store, starter, "/do/1/b", name="b: start of workflow")
        await ended(called.store, starter, "/do/0/a", name="a: start of workflow")
        await fail(called.store, starter)
        assert (await called.acceptor.accept_child(request, "/do/0/a")).id == first.id
        for is_dry_run in (True, False):
            decision = Decision(forget_from="/do/0/a")
            said = await called.store.resuming.resume(starter, decision, is_dry_run=is_dry_run)
            assert said.reason == f"another execution is started beside {first.id}"
        for _ in range(2):
            second = await called.acceptor.accept_child(replace(request, message='{"other": 1}'), "/do/0/a")
            assert second.id == make_child_id(starter, "/do/0/a", first.kind, 1)
        assert (await called.acceptor.accept_child(request, "/do/1/b")).id == kept.id
        assert (await called.store.executions.get(first.id)).cancel_requested_at is None, "it goes on by itself"
