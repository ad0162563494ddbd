"""What the processes of a test said about their own event loops."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from stigmer_cli.watchdog import BLOCKED_S

BLOCKED = "event_loop_blocked"
SLOWER_MAX = 2.0


def blocks_in(folder: Path) -> Sequence[str]:
    """Each complaint of a watchdog in the log files under `folder` that counts, with how long, and who did it."""
    found = []
    for log in sorted(folder.rglob("*.log")):
        for line in log.read_text(errors="replace").splitlines():
            if f'"{BLOCKED}"' in line and line.startswith("{"):
                told = json.loads(line)
                if told["blocked_s"] > BLOCKED_S * SLOWER_MAX:
                    found.append(f"{log.name}: {told['blocked_s']} s\n    " + "\n    ".join(told["stack"]))
    return found


def refuse_blocks(folder: Path) -> None:
    """Fail the test whose processes log into `folder` if one of them complained.

    A watchdog counts only what its process did itself. That takes longer on a busy machine, too, up to twice as long
    where two processors are one core.
    """
    found = blocks_in(folder)
    if found:
        pytest.fail("an event loop was blocked:\n" + "\n".join(found), pytrace=False)
