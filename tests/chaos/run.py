"""A long battle by hand: python -m tests.chaos.run --faults 2000 --executions 20000 --seed 1 --json FILE."""

import argparse
import asyncio
import json
import sys
import tempfile
from pathlib import Path

from tests.chaos.battle import Battle, fight

COLUMNS = (
    "fault",
    "count",
    "lost",
    "duplicated",
    "stuck",
    "detectionP50",
    "detectionP99",
    "recoveryP50",
    "recoveryP99",
)


def rendered(battle: Battle) -> str:
    """The table, and every sentence about what is wrong."""
    lines = [f"{COLUMNS[0]:<26}" + "".join(f"{name:>14}" for name in COLUMNS[1:])]
    lines += [
        f"{row['fault']:<26}" + "".join(f"{'-' if row[name] is None else row[name]:>14}" for name in COLUMNS[1:])
        for row in battle.table()
    ]
    lines.append("in this order: " + ", ".join(window.fault.split()[0] for window in battle.windows))
    judgement = battle.judgement
    acknowledged = sum(wanted.acknowledged_s is not None for wanted in battle.log)
    lines.append(f"seed {battle.seed}: {len(battle.windows)} faults, {acknowledged} executions acknowledged")
    for name in ("lost", "duplicated", "stuck", "shown"):
        found: dict[str, str] = getattr(judgement, name)
        lines += [f"{name}: {len(found)}", *(f"  {key}: {words}" for key, words in sorted(found.items())[:20])]
    return "\n".join(lines)


def report(battle: Battle) -> dict[str, object]:
    """The same as JSON."""
    judgement = battle.judgement
    return {
        "seed": battle.seed,
        "faults": len(battle.windows),
        "executions": len(battle.log),
        "acknowledged": sum(wanted.acknowledged_s is not None for wanted in battle.log),
        "lost": len(judgement.lost),
        "duplicated": len(judgement.duplicated),
        "stuck": len(judgement.stuck),
        "shown": len(judgement.shown),
        "kinds": battle.table(),
    }


def main() -> int:
    """0 if nothing is lost, duplicated or stuck."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faults", type=int, default=32)
    parser.add_argument("--executions", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--pause", type=float, default=0.3, help="mean seconds between two wishes of one of four people"
    )
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
        battle = asyncio.run(
            fight(
                Path(folder),
                seed=arguments.seed,
                faults=arguments.faults,
                executions=arguments.executions,
                pause_s=arguments.pause,
            )
        )
    print(rendered(battle))
    if arguments.json:
        arguments.json.write_text(json.dumps(report(battle), indent=2) + "\n")
    return 0 if battle.judgement.is_clean else 1


if __name__ == "__main__":
    sys.exit(main())
