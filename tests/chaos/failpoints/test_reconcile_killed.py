"""A requested reconcile whose server is killed between any two of its steps: the next one continues."""

import asyncio
from collections.abc import Iterator

import pytest

from stigmer_cli.api.reconcile import ReconcileItem, ReconcileRequest
from stigmer_cli.errors import StigmerError, TemporalUnavailable
from tests.chaos.failpoints.harness import PartFailpoints
from tests.chaos.failpoints.points import RECONCILE_POINTS
from tests.support.orphans import Orphanage
from tests.support.polling import eventually
from tests.support.temporal_server import DevServer

SUBMIT_POINTS = ("submit begins", "submit answered", "mark committed")
POINTS = (*(point.name for point in RECONCILE_POINTS), *SUBMIT_POINTS)
ORPHANS = 3
REFUSED_MAX = 5


@pytest.fixture(scope="module")
def points(tmp_path_factory: pytest.TempPathFactory) -> PartFailpoints:
    return PartFailpoints(tmp_path_factory.mktemp("failpoints") / "server")


@pytest.fixture(scope="module")
def orphanage(tmp_path_factory: pytest.TempPathFactory, points: PartFailpoints) -> Iterator[Orphanage]:
    """Orphans for all tests of this module, made at once."""
    folder = tmp_path_factory.mktemp("orphanage")
    with DevServer(folder) as temporal:
        one = Orphanage(folder, temporal.start(), points.environment)
        try:
            asyncio.run(one.make_orphans(ORPHANS * len(POINTS)))
            yield one
        finally:
            one.server.kill()


async def _reconcile(orphanage: Orphanage, ids: list[str]) -> tuple[list[str], str]:
    """The ids told as brought back, and what broke it off; empty where it came to its end.

    Refused before anything was touched, because a probe took a second, it is asked for again.
    """
    told, broken_off = await _asked(orphanage, ids)
    for _ in range(REFUSED_MAX):
        if told or not isinstance(broken_off, TemporalUnavailable):
            break
        await orphanage.server.until()
        told, broken_off = await _asked(orphanage, ids)
    return [item.id for item in told if item.outcome == "resubmitted"], broken_off.message if broken_off else ""


async def _asked(orphanage: Orphanage, ids: list[str]) -> tuple[list[ReconcileItem], StigmerError | None]:
    told: list[ReconcileItem] = []
    async with orphanage.server.client() as client:
        try:
            async for one in client.reconcile(ReconcileRequest(ids=ids, asked_by="a test")):
                told += [one] if isinstance(one, ReconcileItem) else []
        except StigmerError as error:
            return told, error
    return told, None


@pytest.mark.parametrize("point", POINTS)
async def test_a_reconcile_killed_at_any_step_reports_only_what_is_done_and_is_continued(
    orphanage: Orphanage, points: PartFailpoints, point: str
) -> None:
    number = POINTS.index(point)
    mine = sorted(orphanage.timelines("accepted"))[number * ORPHANS : (number + 1) * ORPHANS]
    with points.arm(point):
        told, broken_off = await _reconcile(orphanage, mine)
    assert broken_off
    assert all(orphanage.timelines("submitted")[name] == 2 for name in told), "what is told is done"
    orphanage.server.kill()
    await orphanage.server.start()
    await orphanage.server.until()

    async def is_continued() -> bool:
        assert (await _reconcile(orphanage, mine))[1] == "", "nobody holds the turn"
        return await _each_is_resubmitted_once(orphanage, mine)

    await eventually(is_continued, within_s=15, what="each is submitted once more")
    assert await _reconcile(orphanage, mine) == ([], ""), "and then nothing is left"


async def _each_is_resubmitted_once(orphanage: Orphanage, mine: list[str]) -> bool:
    orphaned, submitted = orphanage.timelines("orphaned"), orphanage.timelines("submitted")
    return [(orphaned[name], submitted[name]) for name in mine] == [(1, 2)] * len(mine)
