"""Workflows as a person applied them, one for each name in a namespace, and every document that was applied."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import RowMapping, Select, bindparam, delete, func, literal, select, tuple_, update

from stigmer_cli.domain.identity import AgentId, ExecutionId, WorkflowDefinitionId, is_id
from stigmer_cli.domain.workflow_definition import WorkflowDefinition
from stigmer_cli.errors import Conflict, NotFound, RequestError
from stigmer_cli.nearest import suggest_nearest
from stigmer_cli.store.agent_runs import AgentRuns, read_runs, refuse_unfinished
from stigmer_cli.store.agents import CREATED, NEAR_MAX, UNCHANGED, UPDATED, AgentDraft, AppliedAgent, apply_agents
from stigmer_cli.store.async_engine import AsyncConnection
from stigmer_cli.store.database import Database, Transition, Writing, whole
from stigmer_cli.store.event_tables import schedules
from stigmer_cli.store.page_size import count_fitting
from stigmer_cli.store.schedules import forget_schedules, write_schedules
from stigmer_cli.store.tables import executions, workflow_versions, workflows

PAGE_CHARS = 2 * 1024 * 1024
"""Of all documents of a page of workflows."""

_OF = workflows.c
_NAMESPACE_END = "/"
_ALL = select(workflows, workflow_versions.c.document).join(
    workflow_versions, workflow_versions.c.id == workflows.c.version_id
)
_WITHOUT_DOCUMENT = select(workflows, literal("").label("document"))
_SIZES = select(func.length(workflow_versions.c.document)).join(
    workflows, workflow_versions.c.id == workflows.c.version_id
)
_BY_ID = _ALL.where(_OF.id == bindparam("id"))
_BY_NAME = _ALL.where(_OF.name == bindparam("name")).order_by(_OF.namespace)
_BY_FULL_NAME = _ALL.where(_OF.name == bindparam("name"), _OF.namespace == bindparam("namespace"))
_DOCUMENTS = select(workflow_versions).where(workflow_versions.c.workflow_id == bindparam("id"))
_BEGUN = (
    select(executions.c.began_ms, executions.c.began_version, executions.c.message, workflow_versions.c.document)
    .join(workflow_versions, workflow_versions.c.id == executions.c.agent_version)
    .where(executions.c.id == bindparam("id"))
)
_SCHEDULED = (
    select(schedules.c.trigger)
    .where(schedules.c.workflow_id == bindparam("id"), schedules.c.is_paused.is_(False))
    .limit(1)
)
_HAS_NOT_BEGUN = executions.c.began_ms.is_(None)


@dataclass(frozen=True, kw_only=True)
class WorkflowDraft:
    """A workflow as a person wrote it; `id` counts only if the name is new. `document` is JSON text."""

    id: WorkflowDefinitionId
    namespace: str
    name: str
    version: str
    document: str
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class AppliedWorkflow:
    """What applying a draft did (`created`, `updated`, `unchanged`), and the workflow as it is now and was `before`."""

    workflow: WorkflowDefinition
    verb: str
    before: WorkflowDefinition | None = None


@dataclass(frozen=True, kw_only=True)
class BegunWorkflow:
    """What every attempt of an execution is given: its document and its input, as JSON texts, and when it first began.

    `began_ms` is in milliseconds since 1970, and `began_version` the version of Stigmer that it began with.
    """

    document: str
    input: str
    began_ms: int
    began_version: str


class WorkflowTable:
    """Workflows by name, or by `NAMESPACE/NAME`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @whole
    async def apply(
        self, drafts: Sequence[WorkflowDraft], agents: Sequence[AgentDraft] = (), *, is_dry_run: bool = False
    ) -> tuple[Sequence[AppliedWorkflow], Sequence[AppliedAgent]]:
        """Create or update every workflow and agent, all or none; returns what was done, in the order of the drafts.

        `is_dry_run`: do the same and take it back. Raises RequestError if two drafts have one name.
        """
        if len({(draft.namespace, draft.name) for draft in drafts}) < len(drafts):
            raise RequestError("two workflows of one request have the same name")
        async with self._database.writing(is_deferrable=True) as writing:
            attempt = await writing.connection.begin_nested()
            applied_agents = await apply_agents(writing, agents)
            applied = {draft.id: await _apply(writing, draft) for draft in sorted(drafts, key=_full_name)}
            await (attempt.rollback() if is_dry_run else attempt.commit())
        return [applied[draft.id] for draft in drafts], applied_agents

    @whole
    async def list(
        self, *, limit: int, after: tuple[str, str] | None = None, has_documents: bool = True
    ) -> tuple[Sequence[WorkflowDefinition], bool]:
        """Up to `limit` workflows in the order of name and namespace, starting after those; whether there are more.

        They are fewer where their documents have more than `PAGE_CHARS` characters; without `has_documents`, these are
        empty, and not read.
        """
        behind = [] if after is None else [tuple_(_OF.name, _OF.namespace) > tuple_(*after)]
        ordered = (_OF.name, _OF.namespace)
        async with self._database.reading() as connection:
            if not has_documents:
                query = _WITHOUT_DOCUMENT.where(*behind).order_by(*ordered).limit(limit + 1)
                found = [_definition_of(row) for row in (await connection.execute(query)).mappings()]
                return found[:limit], len(found) > limit
            sizes = (await connection.scalars(_SIZES.where(*behind).order_by(*ordered).limit(limit + 1))).all()
            number = count_fitting(sizes[:limit], PAGE_CHARS)
            rows = (await connection.execute(_ALL.where(*behind).order_by(*ordered).limit(number))).mappings()
            return [_definition_of(row) for row in rows], number < len(sizes)

    @whole
    async def get(self, reference: str) -> WorkflowDefinition:
        """The workflow with this id, `NAMESPACE/NAME` or NAME.

        Raises NotFound, and Conflict for a NAME that several namespaces have.
        """
        async with self._database.reading() as connection:
            return await find_workflow(connection, reference)

    @whole
    async def find_version(self, workflow: WorkflowDefinition, version: str) -> str:
        """The id of the document of `workflow` that says it is `version`; raises Conflict unless there is exactly one.

        Which one of several was applied last, nothing says.
        """
        async with self._database.reading() as connection:
            rows = (await connection.execute(_DOCUMENTS, {"id": workflow.id})).all()
        found = [row.id for row in rows if json.loads(row.document)["document"].get("version") == version]
        if len(found) == 1:
            return str(found[0])
        which = f"{len(found)} documents of workflow {workflow.full_name} have" if found else "no document has"
        of = "" if found else f" of workflow {workflow.full_name}"
        raise Conflict(f"{which} version {version}{of}: the last one is {workflow.version}")

    @whole
    async def read_runs(self, ids: Sequence[WorkflowDefinitionId]) -> Mapping[AgentId, AgentRuns]:
        """What each of the workflows `ids` has run; one that has run nothing is left out."""
        async with self._database.reading() as connection:
            return await read_runs(connection, ids, of=workflows)

    @whole
    async def delete(self, reference: str) -> WorkflowDefinition:
        """Remove the workflow and return it; its executions stay, with their documents.

        Raises NotFound, and Conflict while one of its executions has not ended, or for an ambiguous name.
        """
        async with self._database.writing(is_deferrable=True) as writing:
            found = await find_workflow(writing.connection, reference)
            await writing.connection.execute(select(_OF.id).where(_OF.id == found.id).with_for_update())
            name = found.full_name
            pause = f"stigmer schedules pause {name} && stigmer executions cancel --workflow {name} --yes"
            is_scheduled = await writing.connection.scalar(_SCHEDULED, {"id": found.id}) is not None
            way_out = pause if is_scheduled else ""  # else another one begins meanwhile
            await refuse_unfinished(writing.connection, found.id, f"workflow {name}", way_out=way_out)
            await forget_schedules(writing, found.id)
            await writing.connection.execute(delete(workflows).where(_OF.id == found.id))
            return found

    @whole
    async def begin(self, execution_id: ExecutionId, *, version: str) -> BegunWorkflow | None:
        """Have the execution begin now, with this version of Stigmer, unless it began before; returns how it began.

        None for one without a document.
        """
        async with self._database.writing() as writing:
            now_ms = round(writing.now.timestamp() * 1_000)
            await writing.change(
                execution_id,
                Transition(guards=(_HAS_NOT_BEGUN,), values={"began_ms": now_ms, "began_version": version}),
            )
            row = (await writing.connection.execute(_BEGUN, {"id": execution_id})).mappings().one_or_none()
            if row is None:
                return None
            return BegunWorkflow(
                document=row["document"],
                input=row["message"],
                began_ms=row["began_ms"],
                began_version=row["began_version"],
            )


async def find_workflow(connection: AsyncConnection, reference: str) -> WorkflowDefinition:
    """The workflow with this id, `NAMESPACE/NAME` or NAME; raises NotFound, and Conflict for an ambiguous NAME."""
    found = await _find(connection, reference)
    if not found:
        raise await explain_unknown(connection, reference)
    if len(found) > 1:
        names = [one.full_name for one in found]
        raise Conflict(
            f"several namespaces have a workflow {reference}: {', '.join(names)}", hint=f"name one: workflow/{names[0]}"
        )
    return found[0]


async def explain_unknown(connection: AsyncConnection, reference: str) -> NotFound:
    """The error for a workflow that does not exist, with the nearest name among the first `NEAR_MAX`."""
    rows = (await connection.execute(select(_OF.namespace, _OF.name).order_by(_OF.name).limit(NEAR_MAX))).all()
    names = [f"{row.namespace}/{row.name}" if _NAMESPACE_END in reference else row.name for row in rows]
    near = suggest_nearest(reference, names)
    return NotFound(f"there is no workflow {reference}{near}", hint="stigmer workflows list")


async def _find(connection: AsyncConnection, reference: str) -> Sequence[WorkflowDefinition]:
    namespace, slash, name = reference.rpartition(_NAMESPACE_END)
    asked = {"id": reference, "name": name, "namespace": namespace}
    queries: list[Select[Any]] = [_BY_FULL_NAME if slash else _BY_NAME]
    if is_id(reference):
        queries.insert(0, _BY_ID)
    for query in queries:
        rows = (await connection.execute(query, asked)).mappings().all()
        if rows:
            return [_definition_of(row) for row in rows]
    return []


def _full_name(draft: WorkflowDraft) -> tuple[str, str]:
    """What drafts are sorted by: two requests on PostgreSQL then cannot deadlock."""
    return draft.name, draft.namespace


async def _apply(writing: Writing, draft: WorkflowDraft) -> AppliedWorkflow:
    connection = writing.connection
    named = {"namespace": draft.namespace, "name": draft.name}
    query = _BY_FULL_NAME.with_for_update(of=workflows)
    before = (await connection.execute(query, named)).mappings().one_or_none()
    if before is None:
        wanted = await _wanted(writing, draft.id, draft)
        row = {"id": draft.id, **named, **wanted, "created_at": writing.now, "updated_at": writing.now}
        added = await connection.execute(writing.backend.insert_or_skip(workflows, None), row)
        if added.scalar_one_or_none() is not None:
            await _schedule(writing, draft.id, draft.document)
            return AppliedWorkflow(workflow=await find_workflow(connection, draft.id), verb=CREATED)
        before = (await connection.execute(query, named)).mappings().one()  # another request was faster
    id_ = before["id"]
    wanted = await _wanted(writing, id_, draft)
    if all(before[name] == value for name, value in wanted.items()):
        return AppliedWorkflow(workflow=_definition_of(before), verb=UNCHANGED, before=_definition_of(before))
    await connection.execute(update(workflows).where(_OF.id == id_).values(updated_at=writing.now, **wanted))
    await _schedule(writing, id_, draft.document)
    after = await find_workflow(connection, id_)
    return AppliedWorkflow(workflow=after, verb=UPDATED, before=_definition_of(before))


async def _schedule(writing: Writing, id_: str, document: str) -> None:
    """Have it run when its document says so. Raises RequestError."""
    try:
        await write_schedules(writing, id_, json.loads(document))
    except ValueError as error:
        raise RequestError(str(error), hint="stigmer help events") from None


async def _wanted(writing: Writing, id_: str, draft: WorkflowDraft) -> Mapping[str, object]:
    """The columns of the workflow `id_` as `draft` has them."""
    return {
        "version": draft.version,
        "labels": dict(draft.labels),
        "annotations": dict(draft.annotations),
        "version_id": await _keep_version(writing, id_, draft.document),
    }


async def _keep_version(writing: Writing, id_: str, document: str) -> str:
    """Keep this document, if it is not kept yet; returns its id."""
    version_id = hashlib.sha256(f"{id_}\0{document}".encode()).hexdigest()
    row = {"id": version_id, "workflow_id": id_, "document": document}
    await writing.connection.execute(writing.backend.insert_or_skip(workflow_versions, "id"), row)
    return version_id


def _definition_of(row: RowMapping) -> WorkflowDefinition:
    return WorkflowDefinition(
        id=row["id"],
        namespace=row["namespace"],
        name=row["name"],
        version=row["version"],
        labels=row["labels"],
        annotations=row["annotations"],
        document=row["document"],
        version_id=row["version_id"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )
