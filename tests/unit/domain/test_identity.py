"""Ids and what is made of them."""

import random

import pytest

from stigmer_cli.domain.identity import ExecutionId, Kind, is_id, slug_of, workflow_id
from stigmer_cli.executions.mint import Mint
from tests.fakes import ManualClock

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
    mint = Mint(ManualClock(), random.Random(7))
    ids = [mint.execution_id(Kind.AGENT) for _ in range(1000)]
    assert all(is_id(text) for text in ids)
    assert ids == sorted(set(ids))
    assert ids[0].startswith("aex-01kqs")


def test_the_workflow_id_is_a_function_of_execution_and_epoch() -> None:
    assert workflow_id(Kind.AGENT, ID, 1) == "stigmer/agent-execution/invoke/aex-01kqrxnp6m8w8t6e3d2m5k7j9z"
    assert workflow_id(Kind.AGENT, ID, 2) == "stigmer/agent-execution/invoke/aex-01kqrxnp6m8w8t6e3d2m5k7j9z/2"
    assert workflow_id(Kind.WORKFLOW, ID, 1).startswith("stigmer/workflow-execution/invoke/")


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
