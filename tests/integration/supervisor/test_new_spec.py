"""A part that is started again may be started as a new spec says: the environment of whoever asks, not the first."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from stigmer_cli.supervisor.spec import ChildSpec, child_to_json
from tests.support.processes import Supervised, child, environ, supervised

SAYS_KEY = "import os, time; print('key', os.environ.get('KEY'), flush=True); time.sleep(600)"
FAILS_WITHOUT_KEY = f"import os; os.environ.get('KEY') or exit(3); {SAYS_KEY}"


def with_key(spec: ChildSpec, key: str) -> ChildSpec:
    return replace(spec, env=environ({"KEY": key}))


async def asked_with(it: Supervised, op: str, name: str, spec: object) -> dict[str, Any]:
    async with it.control() as control:
        return dict(await control.ask(op, name, more={"spec": spec}))


async def test_a_restart_with_a_spec_gives_the_new_environment_and_a_crash_keeps_it(tmp_path: Path) -> None:
    first = with_key(child(tmp_path, "a", SAYS_KEY), "old")
    async with supervised(tmp_path, first) as it:
        await it.says("a", "key old")

        assert await asked_with(it, "restart", "a", child_to_json(with_key(first, "new"))) == {
            "ok": True,
            "taken": True,
        }

        await it.says("a", "key new")
        live = await it.child("a", lambda one: one.id, "running")
        assert live.id is not None
        live.id.kill_group()
        await it.says("a", "key new", times=2)
        assert '"changedVariables": ["KEY"]' in it.log()
        told = next(line for line in it.log().splitlines() if "new spec" in line)
        assert "new" not in told.replace("a new spec", "")


async def test_a_start_with_a_spec_counts_for_a_part_that_is_down_only(tmp_path: Path) -> None:
    down, up = child(tmp_path, "down", FAILS_WITHOUT_KEY), child(tmp_path, "up", SAYS_KEY)
    async with supervised(tmp_path, down, up) as it:
        await it.child("down", lambda one: one.state == "failed", "failed")
        await it.says("up", "key None")

        assert (await asked_with(it, "start", "down", child_to_json(with_key(down, "here"))))["taken"] is True
        assert (await asked_with(it, "start", "up", child_to_json(with_key(up, "here"))))["taken"] is False

        await it.says("down", "key here")
        assert await it.ask("restart", "up") == {"ok": True}
        await it.says("up", "key None", times=2)


async def test_a_spec_of_another_part_or_none_at_all_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    one = child(tmp_path, "a", SAYS_KEY)
    async with supervised(tmp_path, one) as it:
        before = await it.child("a", lambda found: found.id, "running")

        strange = await asked_with(it, "restart", "a", child_to_json(replace(one, name="b")))
        broken = await asked_with(it, "restart", "a", {"name": "a"})
        nothing = await asked_with(it, "restart", "a", "no object")

        assert strange == {"ok": False, "error": "a spec of b is none for a"}
        assert [found["ok"] for found in (broken, nothing)] == [False, False]
        assert (await it.child("a", lambda found: found.id, "running")).id == before.id


async def test_a_large_environment_travels_whole(tmp_path: Path) -> None:
    one = child(tmp_path, "a", "import os, time; print('size', len(os.environ['KEY']), flush=True); time.sleep(600)")
    async with supervised(tmp_path, with_key(one, "")) as it:
        large = replace(
            one, env=environ({"KEY": "\N{SNOWMAN}" * 40_000, **{f"V{n}": "x" * 100_000 for n in range(12)}})
        )

        assert (await asked_with(it, "restart", "a", child_to_json(large)))["ok"] is True

        await it.says("a", "size 40000")


async def test_the_effective_environment_is_reported_by_name(tmp_path: Path) -> None:
    first = replace(child(tmp_path, "a", SAYS_KEY), env=environ({"KEY": "old", "OTHER": "hidden"}))
    async with supervised(tmp_path, first) as it:
        async with it.control() as control:
            found = await control.ask("environment", "a", more={"variables": ["KEY", "NOT_THERE"]})

        assert found == {"ok": True, "environment": {"KEY": "old"}}
