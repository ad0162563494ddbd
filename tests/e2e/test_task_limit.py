"""A control group that allows too few processes and threads: doctor names it, not the part that ends because of it."""

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.installed import Stigmer, installed
from tests.support.polling import wait_until

MOUNTS = (Path("/sys/fs/cgroup/pids"), Path("/sys/fs/cgroup"))
TOO_FEW = 4


@pytest.fixture
def group() -> Iterator[Path]:
    """A control group of its own that can limit processes and threads, of version 1 or 2."""
    mount = next((one for one in MOUNTS if (one / "cgroup.procs").exists() and os.access(one, os.W_OK)), None)
    if mount is None:
        pytest.skip("needs root and control groups")
    made = mount / f"stigmer-test-{os.getpid()}"
    made.mkdir()
    try:
        if not (made / "pids.max").exists():
            pytest.skip("needs control groups that limit pids")
        yield made
        wait_until(lambda: not (made / "cgroup.procs").read_text(), "all processes of the group ended")
    finally:
        made.rmdir()


def up_within(group: Path, stigmer: Stigmer) -> None:
    """Start the stack, all of it in `group`."""
    enter = ("sh", "-c", 'echo $$ >"$0/cgroup.procs" && exec "$@"', str(group))
    done = subprocess.run(
        [*enter, stigmer.command, "up"], env=stigmer.environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_limit_is_the_verdict_while_it_ends_temporal_and_the_way_out_works(tmp_path: Path, group: Path) -> None:
    with installed(tmp_path / "home") as stigmer:
        up_within(group, stigmer)
        allowed = int((group / "pids.current").read_text()) - TOO_FEW
        (group / "pids.max").write_text(str(allowed))
        stigmer.kill("temporal")
        wait_until(lambda: stigmer.json("doctor")["verdict"]["code"] == "STG129", "the limit is the verdict")
        told = stigmer.json("doctor")
        pattern = rf"not healthy: \d+ of at most {allowed} processes and threads run \(pids\.max\)"
        pattern += r", and the limit was hit \d+ times; temporal ended"
        assert re.fullmatch(pattern, told["verdict"]["message"])
        assert told["verdict"]["hint"] == "docker run --pids-limit 512, or TasksMax=512 in the systemd unit"

        (group / "pids.max").write_text("512")
        stigmer.ok("up")
        after = stigmer.json("doctor")
        assert after["ok"]
        assert next(check for check in after["checks"] if check["code"] == "STG129")["result"] == "info"
