"""A low limit of open files is raised, and where it cannot be, `up` says so before it starts anything."""

import subprocess
import sys
from pathlib import Path

SHOW = (
    "import resource; from stigmer_cli.open_files import raise_files_limit; raise_files_limit();"
    " print(*resource.getrlimit(resource.RLIMIT_NOFILE))"
)
ROOT = Path(__file__).parents[2]


def test_the_soft_limit_is_raised_to_the_hard_one() -> None:
    done = subprocess.run(
        ["sh", "-c", f'ulimit -Sn 64; ulimit -Hn 900; exec "$0" -c "{SHOW}"', sys.executable],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "900 900\n"


def test_a_stack_is_not_started_with_too_few(tmp_path: Path) -> None:
    done = subprocess.run(
        ["sh", "-c", 'ulimit -n 64; exec "$0" -m stigmer_cli.cli up', sys.executable],
        cwd=ROOT,
        env={"STIGMER_HOME": str(tmp_path / "home"), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr == (
        f"home: {tmp_path / 'home'}\n"
        "error: only 64 files may be open here, and a stack needs 256 at least\nhint: ulimit -n 4096\n"
    )
