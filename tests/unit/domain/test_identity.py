"""Ids and what is made of them."""

import random
from dataclasses import replace

import pytest

from stigmer_cli.domain.identity import ExecutionId, Kind, is_id, runner_process, slug_of, store_in, task_queue_of
from stigmer_cli.executions.ids import IdGenerator
from tests.support.fakes import ManualClock
from tests.support.ids import STORE, workflow

ID = ExecutionId("aex-01kqrxnp6m8w8t6e3d2m5k7j9z")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("aex-01kqrxnp6m8w8t6e3d2m5k7j9z", True),
        ("wex-01kqrxnp6m8w8t6e3d2m5k7j9z", True),
        ("agt-00000000000000000000000000", True),
        ("aex-1234567890", False),
        ("1234567890", False),
        ("AEX-01kqrxnp6m8w8t6e3d2m5k7j9z", False),
        ("aex-01KQRXNP6M8W8T6E3D2M5K7J9Z", False),
        ("aex-01kqrxnp6m8w8t6e3d2m5k7j9z\n", False),
        (" aex-01kqrxnp6m8w8t6e3d2m5k7j9z", False),
    ],
)
def test_an_id_is_three_letters_and_a_lower_case_ulid_never_digits_only(text: str, *, expected: bool) -> None:
    assert is_id(text) is expected


def test_minted_ids_match_the_pattern_and_grow_although_the_clock_stands() -> None:
    generator = IdGenerator(ManualClock(), random.Random(7))
    ids = [generator.execution_id(Kind.AGENT) for _ in range(1000)]
    assert all(is_id(text) for text in ids)
    assert ids == sorted(set(ids))
    assert ids[0].startswith("aex-01kqs")


def test_the_workflow_id_is_a_function_of_store_execution_and_epoch() -> None:
    name = "stigmer/str-01kqrxnp6m8w8t6e3d2m5k7j9z/agent-execution/invoke/aex-01kqrxnp6m8w8t6e3d2m5k7j9z"
    assert workflow(ID).id == name
    assert workflow(ID, 2).id == f"{name}/2"
    assert replace(workflow(ID), kind=Kind.WORKFLOW).id == name.replace("agent", "workflow")
    assert workflow(ID).type == "stigmer/agent-execution/invoke", "the type names code, which is every store's"
    assert workflow(ID).task_queue == task_queue_of(STORE) == "stigmer-str-01kqrxnp6m8w8t6e3d2m5k7j9z"


def test_what_began_before_stores_had_ids_keeps_its_names() -> None:
    old = workflow(ID, store=None)
    assert old.id == "stigmer/agent-execution/invoke/aex-01kqrxnp6m8w8t6e3d2m5k7j9z"
    assert replace(old, epoch=2).id == "stigmer/agent-execution/invoke/aex-01kqrxnp6m8w8t6e3d2m5k7j9z/2"
    assert old.task_queue == "stigmer"


def test_a_workflow_id_tells_its_store() -> None:
    assert store_in(workflow(ID, 3).id) == STORE
    assert store_in(workflow(ID, store=None).id) is None
    assert store_in("str-01kqrxnp6m8w8t6e3d2m5k7j9z/else") is None


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("Greeter", "greeter"),
        ("  My  Agent! ", "my-agent"),
        ("a" * 70, "a" * 63),
        ("été 2", "t-2"),
        ("日本", ""),
        ("a" * 62 + " b", "a" * 62),
    ],
)
def test_a_slug_is_the_part_of_an_address(name: str, slug: str) -> None:
    assert slug_of(name) == slug


@pytest.mark.parametrize(
    ("worker", "process"),
    [
        ("stigmer-runner/7@host/12-0a1b2c3d/0.1.0", "stigmer-runner/7@host/0a1b2c3d"),
        ("stigmer-runner/7@host/13-0a1b2c3d/0.1.0", "stigmer-runner/7@host/0a1b2c3d"),
        ("stigmer-runner/7@host/1-ffffffff/0.1.0", "stigmer-runner/7@host/ffffffff"),
        ("stigmer-runner/7@host", "stigmer-runner/7@host"),
        ("mill", "mill"),
    ],
)
def test_the_process_of_a_worker_is_its_name_without_the_number(worker: str, process: str) -> None:
    assert runner_process(worker) == process
