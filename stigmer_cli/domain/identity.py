"""Ids and the names made of them: which execution, which agent, which workflow in Temporal."""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import NewType

ExecutionId = NewType("ExecutionId", str)
AgentId = NewType("AgentId", str)
WorkflowDefinitionId = NewType("WorkflowDefinitionId", AgentId)
"""Executions keep it where those of agents keep the agent's."""

RunId = NewType("RunId", str)
WorkflowId = NewType("WorkflowId", str)
StoreId = NewType("StoreId", str)
ServerId = NewType("ServerId", str)

ID_PATTERN = re.compile(r"[a-z]{3}-[0-9a-z]{26}")
"""Three letters of kind and a lower-case ULID. Never digits only, so that no parser reads it as a number."""

AGENT_PREFIX = "agt"
WORKFLOW_PREFIX = "wfl"
STORE_PREFIX = "str"
SERVER_PREFIX = "srv"


class Kind(StrEnum):
    """What an execution is a run of."""

    AGENT = "agent"
    WORKFLOW = "workflow"


PREFIXES: dict[Kind, str] = {Kind.AGENT: "aex", Kind.WORKFLOW: "wex"}
WORKFLOW_TYPES: dict[Kind, str] = {
    Kind.AGENT: "stigmer/agent-execution/invoke",
    Kind.WORKFLOW: "stigmer/workflow-execution/invoke",
}
LEGACY_TASK_QUEUE = "stigmer"
"""The task queue of every store before stores had ids; open workflows of such a store are still on it."""

NAME_ROOT = "stigmer"
WORKER_IDENTITY = re.compile(r"(?P<place>stigmer-runner/[^/]+)/\d+-(?P<tag>[0-9a-f]+)(?:/|$)")
POLLER_FRESH_S = 75.0
"""A poll lasts up to 60 s at Temporal, so a live poller of the queue may have been seen last that long ago."""


def is_fresh(silent_s: float) -> bool:
    """Whether a poller of the task queue that has been silent for `silent_s` seconds may still be alive."""
    return silent_s < POLLER_FRESH_S


def runner_process(worker: str) -> str:
    """The process that a worker's identity names, without the number of the worker in it; another name as it is.

    A worker is called `stigmer-runner/PID@HOST/NUMBER-TAG/VERSION`; TAG tells two processes with one pid apart.
    """
    found = WORKER_IDENTITY.match(worker)
    return f"{found['place']}/{found['tag']}" if found else worker


def is_id(text: str) -> bool:
    """Whether `text` has the form of an id of ours."""
    return ID_PATTERN.fullmatch(text) is not None


def slug_of(name: str) -> str:
    """`name` as the part of an address: lower case, dashes between words, at most 63 characters; may be empty."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:63].rstrip("-")


def store_in(workflow: str) -> StoreId | None:
    """The store whose name a workflow id carries; None for one from before stores had ids."""
    found = re.match(rf"{NAME_ROOT}/({STORE_PREFIX}-[0-9a-z]{{26}})/", workflow)
    return StoreId(found[1]) if found else None


def task_queue_of(store: StoreId | None) -> str:
    """The task queue of the runners of `store`; None: the one that all stores shared before they had ids."""
    return LEGACY_TASK_QUEUE if store is None else f"{LEGACY_TASK_QUEUE}-{store}"


@dataclass(frozen=True, kw_only=True)
class WorkflowName:
    """The name of the workflow of one epoch of an execution: the same for each submit, and different in each store.

    `store` None: the names from before stores had ids, under which workflows may still be open.
    """

    kind: Kind
    execution: ExecutionId
    epoch: int
    store: StoreId | None

    @property
    def type(self) -> str:
        """The workflow type, which no store changes: it names code."""
        return WORKFLOW_TYPES[self.kind]

    @property
    def id(self) -> WorkflowId:
        """The workflow id: `stigmer/STORE/agent-execution/invoke/EXECUTION`, from the second epoch on `.../EPOCH`."""
        root = self.type if self.store is None else self.type.replace(NAME_ROOT, f"{NAME_ROOT}/{self.store}", 1)
        base = f"{root}/{self.execution}"
        return WorkflowId(base if self.epoch == 1 else f"{base}/{self.epoch}")

    @property
    def task_queue(self) -> str:
        """Where the runners of the store take it up."""
        return task_queue_of(self.store)
