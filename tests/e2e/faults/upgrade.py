"""Faults of an upgrade: code that does not fit the runs under way, and programs that are gone under running parts."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from stigmer_cli.domain.phase import Phase
from stigmer_cli.running_version import RUNNING_VERSION
from stigmer_cli.temporal.dev_server import find_binary
from tests.e2e.faults.fault import On, Row
from tests.e2e.faults.harness import Harness
from tests.e2e.faults.own_temporal import LONG
from tests.replay.package import Change, copy_changed
from tests.support.polling import wait_until
from tests.support.second_installation import SecondInstallation


@contextmanager
def unfit(harness: Harness) -> Iterator[None]:
    """One more await before the claim, under an execution in progress whose workflow has to go on now."""
    name = harness.stigmer.ok("run", "slow", LONG, "--detach").strip()
    wait_until(lambda: harness.execution(name)["attempt"] > 0, "it is in progress")
    copy = harness.folder / "python" / "stigmer_cli"
    copy_changed(copy, Change.UNFIT)
    try:
        harness.stigmer.ok("restart", "runner")
        _wake(harness, name)
        wait_until(lambda: harness.fails("STG408"), "it is seen")
        yield
        harness.stigmer.ok("executions", "cancel", name)
        wait_until(lambda: Phase(harness.execution(name)["phase"]).is_terminal, "it has ended", within_s=60)
    finally:
        shutil.rmtree(copy)
        harness.stigmer.ok("restart", "runner")


@contextmanager
def gone(harness: Harness) -> Iterator[None]:
    """The runner was started from an installation that has been removed since."""
    other = SecondInstallation(harness.folder / "other", version=RUNNING_VERSION)
    command = [other.command, "restart", "runner"]
    subprocess.run(command, env=harness.stigmer.environment, check=True, capture_output=True, timeout=60)
    shutil.rmtree(other.folder)
    yield
    harness.stigmer.ok("restart", "runner")


def _wake(harness: Harness, name: str) -> None:
    """Something happens to its workflow, so that its code has to look: here a signal that means nothing."""
    workflow = harness.execution(name)["dispatch"]["workflowId"]
    address = f"127.0.0.1:{harness.stigmer.environment['STIGMER_TEMPORAL_PORT']}"
    command = ["workflow", "signal", "--workflow-id", workflow, "--name", "wake", "--address", address]
    subprocess.run([str(find_binary(None)), *command], check=True, capture_output=True, timeout=30)


UNFIT = (
    "the workflow task fails again and again (attempt N); its code does not fit the run (RUNNER): [TMPRL1100]"
    " Nondeterminism error: Non-deprecated patch marker encountered for change perform-claims, but there is no"
    " corresponding change command!"
)
ROWS: tuple[Row, ...] = (
    Row(
        fault="Y11",
        what="what the runner was started from is gone",
        on=On.OWN,
        inject=gone,
        code="STG127",
        exit_code=0,
        verdict=(
            "healthy, with a warning: programs that running parts were started from are gone: PYTHON (runner); a part"
            " that ends cannot be started again"
        ),
        fix="stigmer restart",
    ),
    Row(
        fault="Y4",
        what="the runner's new code does not fit a run that is under way",
        on=On.OWN,
        inject=unfit,
        code="STG408",
        exit_code=1,
        verdict=f"not healthy: 1 execution (aex-ID; the oldest N old) cannot-replay: {UNFIT}",
        fix="stigmer executions reconcile aex-ID --include-in-progress",
        is_slow=True,
    ),
)
