"""Where the machine lacks what a stack needs, `up` says so at once, and what to type."""

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.support.installed import Stigmer, installed

pytestmark = pytest.mark.skipif(not (shutil.which("unshare") and os.geteuid() == 0), reason="needs root and unshare(1)")

WITHOUT_LOOPBACK = ("unshare", "--net")
WITHOUT_PROC = ("unshare", "--mount", "sh", "-c", 'mount -t tmpfs none /proc && exec "$@"', "sh")
LIMIT_TASKS = "cd /sys/fs/cgroup && mkdir pids && echo 40 >pids.max && cp pids.max pids"
FEW_TASKS = (
    "unshare",
    "--mount",
    "sh",
    "-c",
    f'mount -t tmpfs none /sys/fs/cgroup && ({LIMIT_TASKS}) && exec "$@"',
    "sh",
)


def limited_by(limit: str) -> Sequence[str]:
    return ("bash", "-c", f'{limit}; exec "$@"', "bash")


@pytest.mark.parametrize(
    ("machine", "error", "hint"),
    [
        (
            WITHOUT_LOOPBACK,
            "127.0.0.1 cannot be reached (Network is unreachable): the loopback interface is down",
            "sudo ip link set lo up",
        ),
        (WITHOUT_PROC, "/proc cannot be read: processes cannot be told apart", "sudo mount -t proc proc /proc"),
        (
            FEW_TASKS,
            "only 40 processes and threads may run here (pids.max), and a stack needs 64 at least",
            "docker run --pids-limit 512, or TasksMax=512 in the systemd unit",
        ),
        (
            limited_by("ulimit -S -f 1000"),
            "a file may have only 1000 KiB here (ulimit -f), and a stack needs 65536",
            "ulimit -f unlimited",
        ),
        (
            limited_by("ulimit -v 700000"),
            "a process may address only 700000 KiB here (ulimit -v), and a stack needs 983040",
            "a new shell, or LimitAS=infinity in the systemd unit",
        ),
        (
            limited_by("ulimit -d 100000"),
            "the data of a process may have only 100000 KiB here (ulimit -d), and a stack needs 196608",
            "a new shell, or LimitDATA=infinity in the systemd unit",
        ),
    ],
)
def test_up_names_what_is_missing(tmp_path: Path, machine: Sequence[str], error: str, hint: str) -> None:
    stigmer = Stigmer(tmp_path / "home")
    done = subprocess.run(
        [*machine, stigmer.command, "up"], env=stigmer.environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines() == [f"home: {tmp_path / 'home'}", f"error: {error}", f"hint: {hint}"]


def test_a_temporal_at_localhost_is_reached_where_the_system_knows_no_localhost(tmp_path: Path) -> None:
    (tmp_path / "hosts").touch()
    without = ("unshare", "--mount", "sh", "-c", 'mount --bind "$0/hosts" /etc/hosts && exec "$@"', str(tmp_path))
    with installed(tmp_path / "first") as first, installed(tmp_path / "second") as second:
        first.ok("up")
        address = f"localhost:{first.environment['STIGMER_TEMPORAL_PORT']}"
        done = subprocess.run(
            [*without, second.command, "up", "--temporal-address", address],
            env=second.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
