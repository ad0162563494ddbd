"""What the processes of a test said about their own event loops."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

BLOCKED = "event_loop_blocked"


def blocks_in(folder: Path) -> Sequence[str]:
    """Each complaint of a watchdog in the log files under `folder`, with how long, and who did it."""
    found = []
    for log in sorted(folder.rglob("*.log")):
        for line in log.read_text(errors="replace").splitlines():
            if f'"{BLOCKED}"' in line and line.startswith("{"):
                told = json.loads(line)
                found.append(f"{log.name}: {told['blocked_s']} s\n    " + "\n    ".join(told["stack"]))
    return found


def refuse_blocks(folder: Path) -> None:
    """Fail the test whose processes log into `folder` if one of them complained.

    A watchdog counts only what its process did itself, so that a busy machine is no reason to complain.
    """
    found = blocks_in(folder)
    if found:
        pytest.fail("an event loop was blocked:\n" + "\n".join(found), pytrace=False)
