"""Runs that began under any version that was ever landed go on under the code as it is now.

The histories beside this file were recorded with `record.py`. One that cannot be replayed stands for all runs of that
version that are under way when a runner is upgraded: each of them would stand still.
"""

import json
from pathlib import Path

import pytest
from temporalio import workflow
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer

import stigmer_cli.runner.workflow as now
from stigmer_cli.domain.identity import WORKFLOW_TYPES, Kind
from stigmer_cli.runner.workflow_run import WorkflowRun
from tests.replay.digest import digest_of
from tests.replay.shapes import SHAPES

FOLDER = Path(__file__).parent / "histories"
HISTORIES = sorted(FOLDER.glob("*/*.json"))
REMEDY = (
    "make the workflow do again what the history says, with the new way behind `workflow.patched(...)`: runs that are"
    " under way when a runner is upgraded would otherwise stand still"
)


def _history(path: Path) -> WorkflowHistory:
    return WorkflowHistory.from_json(f"{WORKFLOW_TYPES[Kind.AGENT]}/{path.stem}", path.read_text())


async def test_the_run_of_a_workflow_does_what_that_of_an_agent_does() -> None:
    newest = max(HISTORIES, key=lambda path: int(path.parent.name.partition("-")[0])).parent
    text = (newest / "concluding-a-failure.json").read_text()
    assert WORKFLOW_TYPES[Kind.AGENT] in text
    other = text.replace(WORKFLOW_TYPES[Kind.AGENT], WORKFLOW_TYPES[Kind.WORKFLOW])
    history = WorkflowHistory.from_json(WORKFLOW_TYPES[Kind.WORKFLOW], other)
    result = await Replayer(workflows=[WorkflowRun]).replay_workflow(history, raise_on_replay_failure=False)
    assert result.replay_failure is None


async def _replay(path: Path, workflow_class: type) -> Exception | None:
    result = await Replayer(workflows=[workflow_class]).replay_workflow(_history(path), raise_on_replay_failure=False)
    return result.replay_failure


@pytest.mark.parametrize("path", HISTORIES, ids=lambda path: f"{path.parent.name}/{path.stem}")
async def test_a_run_of_every_version_and_shape_is_replayed_by_the_code_as_it_is_now(path: Path) -> None:
    failure = await _replay(path, now.AgentRun)
    assert failure is None, f"{path.parent.name}/{path.name} cannot be replayed: {failure}; {REMEDY}"


def test_the_workflow_as_it_is_now_has_been_recorded_in_every_shape() -> None:
    digest = digest_of(Path(now.__file__))
    folders = [folder for folder in FOLDER.iterdir() if digest in folder.name]
    assert folders, f"runner/workflow.py is a new version ({digest}): record it, python tests/replay/record.py"
    assert {path.stem for path in folders[0].iterdir()} == {shape.name for shape in SHAPES}


def test_every_version_has_every_shape_and_none_is_lost() -> None:
    versions = {path.parent.name for path in HISTORIES}
    assert [name.partition("-")[0] for name in sorted(versions, key=lambda name: int(name.partition("-")[0]))] == [
        str(number) for number in range(1, len(versions) + 1)
    ]
    assert len(HISTORIES) == len(versions) * len(SHAPES)


def test_nothing_of_the_machine_that_recorded_is_in_a_history() -> None:
    for path in HISTORIES:
        text = path.read_text()
        assert not [word for word in ("stackTrace", "/home/", "/root/", "/tmp/", ".py") if word in text], path
        assert json.loads(text)["events"]


@workflow.defn(name=WORKFLOW_TYPES[Kind.AGENT])
class OneMoreAwait(now.AgentRun):
    """What a change looks like that no run under way survives."""

    @workflow.run
    async def run(self, *given: object) -> str:
        await workflow.sleep(1)
        return await super().run(*given)


@workflow.defn(name=WORKFLOW_TYPES[Kind.AGENT])
class OneMoreAwaitPatched(now.AgentRun):
    """The same, for runs only that begin under it."""

    @workflow.run
    async def run(self, *given: object) -> str:
        if workflow.patched("one-more-await"):
            await workflow.sleep(1)
        return await super().run(*given)


@pytest.mark.parametrize("shape", [shape.name for shape in SHAPES])
async def test_the_replay_tells_a_changed_workflow_from_a_patched_one(shape: str) -> None:
    newest = max(HISTORIES, key=lambda path: int(path.parent.name.partition("-")[0])).parent
    failure = await _replay(newest / f"{shape}.json", OneMoreAwait)
    assert failure is not None
    assert "Nondeterminism" in str(failure)
    assert await _replay(newest / f"{shape}.json", OneMoreAwaitPatched) is None
