"""`stigmer drill` with real processes: it certifies what healed, and leaves nothing behind."""

import json
import tempfile
from pathlib import Path

import psutil
import pytest

from tests.support.installed import Stigmer
from tests.support.polling import wait_until


def leftovers() -> list[Path]:
    return list(Path(tempfile.gettempdir()).glob("stigmer-drill-*"))


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_drill_certifies_two_faults_and_removes_what_a_killed_one_left(tmp_path: Path) -> None:
    stigmer = Stigmer(tmp_path / "home")
    killed = stigmer.spawn("drill", "--yes", "--only", "kill-server")
    wait_until(lambda: any(folder.name.split("-")[2] == str(killed.pid) for folder in leftovers()), within_s=60)
    (left,) = [folder for folder in leftovers() if folder.name.split("-")[2] == str(killed.pid)]
    wait_until((left / "run" / "supervisor.json").exists, within_s=60)
    killed.kill()
    killed.communicate()
    done = stigmer("drill", "--yes", "--only", "kill-runner", "--only", "empty-temporal", "-o", "json", timeout_s=240)
    found = json.loads(done.stdout)
    assert (done.returncode, found["ok"]) == (0, True), found
    for row in found["faults"]:
        assert (row["lost"], row["twice"]) == (0, 0)
        assert row["executions"] > 0
    assert not left.exists()
    assert [one for one in psutil.process_iter(["cmdline"]) if str(left) in " ".join(one.info["cmdline"] or [])] == []


@pytest.mark.parametrize("where", [(), ("--here",)])
def test_nothing_is_hurt_without_a_question_or_yes(tmp_path: Path, where: tuple[str, ...]) -> None:
    stigmer = Stigmer(tmp_path / "home")
    done = stigmer("drill", *where, "--only", "kill-server")
    assert done.returncode == 2
    assert "cannot ask before a drill" in done.stderr
    assert " ".join(("stigmer drill", *where, "--yes")) in done.stderr
    assert not (tmp_path / "home" / "run").exists()
