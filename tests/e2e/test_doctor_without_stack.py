"""`stigmer doctor` where no stack runs: explanations, schema, unreadable settings, and the ends of a wait."""

import json
import signal
import time
from pathlib import Path

from stigmer_cli.doctor.catalog import CHECKS
from tests.support.doctor_reports import (
    ENDS_IN_S,
    SCHEMA,
    SETTINGS,
    diagnose,
    silent_port,
    verdict_of,
)
from tests.support.installed import installed


def test_explanations_lists_and_the_schema_need_nothing_that_runs(tmp_path: Path) -> None:
    with installed(tmp_path / "home") as stigmer:
        assert "built because of this bug" in stigmer.ok("doctor", "explain", "stg205")
        assert stigmer("doctor", "explain", "STG999").returncode == 5
        assert len(stigmer.json("doctor", "--list-checks")["items"]) == len(CHECKS)
        assert json.loads(stigmer.ok("doctor", "--json-schema")) == SCHEMA
        assert stigmer("doctor", "--only", "nonsense").returncode == 2
        assert stigmer.json("doctor", "--skip", "nonsense")["detail"] == "there is no check 'nonsense'"


def test_a_stack_that_was_never_started_says_how_to(tmp_path: Path) -> None:
    with installed(tmp_path / "home") as stigmer:
        code, found = diagnose(stigmer, verdict="STG104")
        place = stigmer.home
    assert code == 1
    assert verdict_of(found) == (
        "STG104",
        f"not healthy: no stack runs in {place} (STIGMER_HOME): none was ever started there",
        "stigmer up",
    )


def test_settings_that_cannot_be_read_come_first(tmp_path: Path) -> None:
    with installed(tmp_path / "home") as stigmer:
        (stigmer.home / "config.toml").write_text("server_prot = 7234\n")
        code, found = diagnose(stigmer, verdict="STG501")
        assert (code, found["verdict"]["code"]) == (1, "STG501")
        assert "did you mean server_port?" in found["verdict"]["message"]
        assert found["summary"] == {
            "passed": 3,
            "info": 0,
            "warnings": 0,
            "failed": 1,
            "skipped": len(CHECKS) - 4,
            "notJudged": 0,
        }


def test_wait_runs_out_with_124_and_tells_each_change_once(tmp_path: Path) -> None:
    with installed(tmp_path / "home") as stigmer:
        done = stigmer("doctor", "--wait=2.5")
    assert done.returncode == 124
    assert done.stderr.count("not healthy: no stack runs") == 2, "once as it is found, once at the end"


def test_ctrl_c_ends_a_wait_with_130(tmp_path: Path) -> None:
    with installed(tmp_path / "home") as stigmer:
        waiting = stigmer.spawn("doctor", "--wait")
        assert waiting.stderr is not None
        assert waiting.stderr.readline().startswith("not healthy")
        waiting.send_signal(signal.SIGINT)
        _, talk = waiting.communicate(timeout=10)
    assert waiting.returncode == 130
    assert talk == "interrupted\n", "no traceback, and no word of the native side"


def test_ctrl_c_while_temporal_is_dialled_ends_at_once(tmp_path: Path) -> None:
    with silent_port(SETTINGS) as port:
        settings = {"STIGMER_TEMPORAL_ADDRESS": f"127.0.0.1:{port}"}
        with installed(tmp_path / "home", settings) as stigmer:
            waiting = stigmer.spawn("doctor", "--wait")
            assert waiting.stderr is not None
            assert waiting.stderr.readline().startswith("not healthy")
            time.sleep(1.7)  # the second look has begun to dial
            waiting.send_signal(signal.SIGINT)
            _, talk = waiting.communicate(timeout=ENDS_IN_S)
    assert waiting.returncode == 130
    assert talk == "interrupted\n", "no traceback, and no word of the native side"
