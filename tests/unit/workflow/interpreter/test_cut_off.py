"""An attempt may be cut off after any recorded step: the next one leads to the same end, and repeats nothing."""

import json
import random
from collections.abc import Mapping

import pytest

from stigmer_cli.workflow.document import Workflow
from stigmer_cli.workflow.json_value import Json
from tests.support.cut_journals import CutJournal, CutWorld, Outcome, cut_after, run_attempt
from tests.support.virtual_time import run_virtually
from tests.support.workflows import STARTED_MS, read_one

DEPTH_MAX = 2
LATER_MS = 1_000_000_000
ATTEMPTS_MAX = 200


class Generator:
    """Makes documents. Every time in them is another one, so that no two things happen at the same moment."""

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(seed)
        self._count = 0

    def make(self) -> Workflow:
        document: dict[str, Json] = {"do": self._make_list(DEPTH_MAX, least=3)}
        if self._rng.random() < 0.2:
            document["timeout"] = self._make_timeout()
        return read_one("".join(f"{key}: {json.dumps(value)}\n" for key, value in document.items()))

    def _make_list(self, depth: int, *, least: int = 1) -> list[Json]:
        return [self._make_task(depth) for _ in range(self._rng.randint(least, least + 2))]

    def _make_task(self, depth: int) -> Json:
        self._count += 1
        name = f"t{self._count}"
        simple = [self._make_call, self._make_call, self._make_set, self._make_wait, self._make_raise, self._make_emit]
        nested = [self._make_do, self._make_for, self._make_fork, self._make_fork, self._make_try, self._make_try]
        make = self._rng.choice([*simple, *(nested * 2 if depth else ())])
        task = make(name, depth - 1)
        if self._rng.random() < 0.25:
            task["timeout"] = self._make_timeout()
        if self._rng.random() < 0.25:
            task["export"] = {"as": f'$context + {{"{name}": .}}'}
        if self._rng.random() < 0.1:
            task["then"] = self._rng.choice(["exit", "end", "continue"])
        return {name: task}

    def _make_timeout(self) -> Json:
        return {"after": {"milliseconds": self._rng.randint(500, 30_000)}}

    def _make_call(self, _name: str, _depth: int) -> dict[str, Json]:
        fails = self._rng.random() < 0.25
        return {"call": "agent", "with": {"was": "${ $context | keys }", "fails": fails}}

    def _make_set(self, _name: str, _depth: int) -> dict[str, Json]:
        return {"set": {"n": self._count, "context": "${ $context }"}}

    def _make_wait(self, _name: str, _depth: int) -> dict[str, Json]:
        return {"wait": {"milliseconds": self._rng.randint(1, 20_000)}}

    def _make_raise(self, _name: str, _depth: int) -> dict[str, Json]:
        return {"raise": {"error": {"type": "about:blank", "status": 400 + self._count}}}

    def _make_emit(self, name: str, _depth: int) -> dict[str, Json]:
        return {"emit": {"event": {"with": {"type": name, "data": "${ $context }"}}}}

    def _make_do(self, _name: str, depth: int) -> dict[str, Json]:
        return {"do": self._make_list(depth)}

    def _make_for(self, _name: str, depth: int) -> dict[str, Json]:
        return {"for": {"in": "[range(3)]"}, "do": self._make_list(depth)}

    def _make_fork(self, _name: str, depth: int) -> dict[str, Json]:
        return {"fork": {"compete": self._rng.random() < 0.5, "branches": self._make_list(depth, least=2)}}

    def _make_try(self, _name: str, depth: int) -> dict[str, Json]:
        catch: dict[str, Json] = {}
        if self._rng.random() < 0.5:
            catch["do"] = self._make_list(depth)
        if self._rng.random() < 0.5:
            limit: dict[str, Json] = {"attempt": {"count": 2}}
            if self._rng.random() < 0.3:
                limit = {"attempt": {"count": 2, "duration": {"milliseconds": self._rng.randint(500, 9_000)}}}
            elif self._rng.random() < 0.3:
                limit = {"duration": {"milliseconds": self._rng.randint(500, 20_000)}}
            catch["retry"] = {"delay": {"milliseconds": self._rng.randint(100, 9_000)}, "limit": limit}
        return {"try": self._make_list(depth), "catch": catch}


def _run_whole(workflow: Workflow) -> tuple[Outcome, CutJournal]:
    world = CutWorld(STARTED_MS)
    outcome = run_virtually(run_attempt(workflow, world))
    return outcome, world.journal


def _describe(journal: CutJournal) -> Mapping[str, tuple[int, Json, Json]]:
    """What is recorded, but how many tasks had begun by then: those that an attempt need not repeat do not count."""
    return {record.key: (record.at_ms, _drop_count(record.result), record.error) for record in journal.records}


def _drop_count(result: Json) -> Json:
    return {key: value for key, value in result.items() if key != "tasks"} if isinstance(result, dict) else result


SEEDS = range(12)
MORE_SEEDS = range(12, 60)
CUTS_MAX = 4
"""How many places of an execution are tried in the ordinary run; the slow one tries all."""


def test_an_attempt_that_is_cut_off_after_any_step_comes_out_as_the_whole_one_does() -> None:
    for seed in SEEDS:
        _cut_off(seed, cuts_max=CUTS_MAX)


@pytest.mark.slow
@pytest.mark.parametrize("seed", MORE_SEEDS)
def test_each_of_many_attempts_comes_out_as_the_whole_one_does(seed: int) -> None:
    _cut_off(seed, cuts_max=None)


def _cut_off(seed: int, *, cuts_max: int | None) -> None:
    workflow = Generator(seed).make()
    outcome, whole = _run_whole(workflow)
    counts = range(1, len(whole.records))
    if cuts_max is not None and len(counts) > cuts_max:
        counts = sorted(random.Random(seed).sample(counts, cuts_max))  # type: ignore[assignment]
    for count in counts:
        world = cut_after(whole, count)
        assert run_virtually(run_attempt(workflow, world)) == outcome, (seed, count)
        assert _describe(world.journal) == _describe(whole), (seed, count)
    later = CutWorld(STARTED_MS + LATER_MS, CutJournal(now_ms=lambda: 0, records=whole.records))
    assert run_virtually(run_attempt(workflow, later)) == outcome, seed
    assert later.journal.performed == [], seed


def test_an_attempt_that_ends_for_each_wait_comes_out_as_one_that_waits() -> None:
    for seed in SEEDS:
        workflow = Generator(seed).make()
        outcome, whole = _run_whole(workflow)
        now_ms, journal = STARTED_MS, CutJournal(now_ms=lambda: 0)
        found: Outcome = ("waits", now_ms)
        for _ in range(ATTEMPTS_MAX):
            world = CutWorld(now_ms, journal, is_patient=False)
            found = run_virtually(run_attempt(workflow, world))
            if found[0] != "waits":
                break
            assert isinstance(found[1], int)
            assert found[1] > now_ms, seed
            now_ms = found[1]
        assert found == outcome, seed
        assert _describe(journal) == _describe(whole), seed
