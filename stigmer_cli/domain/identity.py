"""Ids and the names made of them: which execution, which agent, which workflow in Temporal."""

import re
from enum import StrEnum
from typing import NewType

ExecutionId = NewType("ExecutionId", str)
AgentId = NewType("AgentId", str)
RunId = NewType("RunId", str)
WorkflowId = NewType("WorkflowId", str)

ID_PATTERN = re.compile(r"[a-z]{3}-[0-9a-z]{26}")
"""Three letters of kind, a lower-case ULID. Never digits only: an id that is read as a number is an id lost."""

AGENT_PREFIX = "agt"
SLUG_PATTERN = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")


class Kind(StrEnum):
    """What an execution is a run of."""

    AGENT = "agent"
    WORKFLOW = "workflow"


PREFIXES: dict[Kind, str] = {Kind.AGENT: "aex", Kind.WORKFLOW: "wex"}
WORKFLOW_TYPES: dict[Kind, str] = {
    Kind.AGENT: "stigmer/agent-execution/invoke",
    Kind.WORKFLOW: "stigmer/workflow-execution/invoke",
}
TASK_QUEUE = "stigmer"
POLLER_FRESH_S = 75.0
"""A poll lasts up to 60 s at Temporal, so a living poller of the queue may have been seen last that long ago."""


def is_id(text: str) -> bool:
    """Whether `text` has the form of an id of ours."""
    return ID_PATTERN.fullmatch(text) is not None


def slug_of(name: str) -> str:
    """`name` as the part of an address: lower case, dashes between words, at most 63 characters; may be empty."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:63].rstrip("-")


def workflow_id(kind: Kind, execution: ExecutionId, epoch: int) -> WorkflowId:
    """The workflow id of one epoch of an execution: a function of nothing else, so that submitting twice is once."""
    base = f"{WORKFLOW_TYPES[kind]}/{execution}"
    return WorkflowId(base if epoch == 1 else f"{base}/{epoch}")
