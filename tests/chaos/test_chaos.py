"""A short battle for every build: every kind of fault, while executions keep coming; four sources must agree."""

from pathlib import Path

import pytest

from tests.chaos.battle import fight
from tests.chaos.nemesis import FAULTS
from tests.chaos.run import rendered

SEED = 20260504


@pytest.mark.timeout(240)
async def test_nothing_is_lost_duplicated_or_stuck_while_everything_breaks_in_turn(tmp_path: Path) -> None:
    battle = await fight(tmp_path, seed=SEED, faults=len(FAULTS), executions=60, pause_s=1.0)
    print(rendered(battle))
    print(f"again: python -m tests.chaos.run --seed {SEED} --faults {len(FAULTS)} --executions 60 --pause 1")
    assert {window.fault for window in battle.windows} == {fault.name for fault in FAULTS}
    assert all(wanted.acknowledged_s is not None for wanted in battle.log)
    assert battle.judgement.is_clean, rendered(battle)
