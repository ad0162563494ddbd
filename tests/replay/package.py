"""Copies of the package under another version, as an upgrade leaves them, and runners that run from such a copy."""

import os
import shutil
import subprocess
import sys
from enum import StrEnum
from pathlib import Path

import stigmer_cli
from stigmer_cli.runner.slots import ACTIVITIES_MAX
from tests.chaos.recording_runner import LEDGER
from tests.support.running_server import TOKEN
from tests.support.temporal_server import die_with_parent, kill_group

PACKAGE = Path(stigmer_cli.__file__).parent
TESTS = PACKAGE.parent / "tests"
SLOTS = 5
FIRST_STEP = "        if workflow.patched(ONE_ACTIVITY):\n"


class Change(StrEnum):
    """What the workflow of a copy does before it claims, in lines of code."""

    NONE = ""
    PATCHED = '        if workflow.patched("one-more-await"):\n            await workflow.sleep(0.05)\n'
    UNFIT = "        await workflow.sleep(0.05)\n"


def copy_changed(place: Path, change: Change) -> None:
    """The package at `place`, with `change` in its workflow."""
    shutil.copytree(PACKAGE, place, ignore=shutil.ignore_patterns("__pycache__"))
    _edit(place / "runner" / "workflow.py", FIRST_STEP, change + FIRST_STEP)


def copy_package(folder: Path, version: str, change: Change = Change.NONE, *, slots: int = SLOTS) -> Path:
    """The package as `version` in `folder`; with few `slots` for activities much waits for a claim."""
    copy_changed(folder / "stigmer_cli", change)
    (folder / "tests").symlink_to(TESTS)
    info = folder / f"stigmer_cli-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: stigmer-cli\nVersion: {version}\n")
    _edit(folder / "stigmer_cli/runner/slots.py", f"ACTIVITIES_MAX = {ACTIVITIES_MAX}", f"ACTIVITIES_MAX = {slots}")
    return folder


def claim_apart(package: Path) -> Path:
    """Have its runs claim in an activity of its own, as they once did: a task of the workflow follows it."""
    _edit(package / "stigmer_cli/runner/workflow.py", FIRST_STEP, "        if False:\n")
    return package


def _edit(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert text.count(old) == 1, f"{file.name} has {text.count(old)} times {old!r}"
    file.write_text(text.replace(old, new))


class CopiedRunner:
    """`stigmer work` with a ledger, from a copy of the package."""

    def __init__(self, package: Path, home: Path, temporal: str, server: str, number: int) -> None:
        self.log = home / f"runner-{number}.log"
        environment = {
            **os.environ,
            "STIGMER_HOME": str(home),
            "STIGMER_TEMPORAL_ADDRESS": temporal,
            "STIGMER_SERVER_URL": server,
            "STIGMER_TOKEN": TOKEN,
            LEDGER: str(home / "ledger.jsonl"),
        }
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.chaos.recording_runner"],
                cwd=package,
                env=environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=die_with_parent,  # noqa: PLW1509 - one prctl
            )

    @property
    def is_polling(self) -> bool:
        """Whether Temporal has seen it."""
        return '"worker_seen"' in self.log.read_text(errors="replace")

    def stop(self, within_s: float) -> None:
        """SIGTERM, as an upgrade does, and wait for its end."""
        self._process.terminate()
        self._process.wait(timeout=within_s)

    def kill(self) -> None:
        """SIGKILL."""
        kill_group(self._process)
