"""What a supervisor writes down, and the spec it is given, survive being written and read."""

import json
from pathlib import Path

import pytest

from stigmer_cli.backoff import Backoff
from stigmer_cli.supervisor.policy import RestartPolicy
from stigmer_cli.supervisor.process import ProcessId
from stigmer_cli.supervisor.record import ChildRecord, ExitRecord, SupervisorRecord, record_from_json
from stigmer_cli.supervisor.spec import ChildSpec, Liveness, SupervisorSpec, spec_from_json

RECORD = SupervisorRecord(
    id=ProcessId(pid=7, mark="boot:12"),
    namespace="pid:[1]",
    started_at="2026-05-04T12:03:11.042Z",
    uptime_s=3.5,
    children=(
        ChildRecord(
            name="a",
            state="backing-off",
            restarts=3,
            failures=2,
            last_exit=ExitRecord(signal="SIGKILL", at="2026-05-04T12:03:12.000Z", why="killed"),
            next_try_at="2026-05-04T12:03:12.400Z",
            log="/logs/a.log",
        ),
        ChildRecord(
            name="b",
            state="running",
            id=ProcessId(pid=8, mark="boot:13"),
            started_at="2026-05-04T12:03:11.100Z",
            uptime_s=3.4,
            last_exit=ExitRecord(code=0, at="2026-05-04T12:03:11.000Z", why="restart was asked for"),
            dropped=12,
        ),
    ),
)


def test_a_record_read_back_is_the_record_written() -> None:
    assert record_from_json(json.loads(json.dumps(RECORD.to_json()))) == RECORD


@pytest.mark.parametrize("text", ["{}", '{"pid": 1}', '{"pid": "1", "mark": "x", "children": []}'])
def test_what_is_no_record_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not the state of a supervisor"):
        record_from_json(json.loads(text))


def test_a_spec_read_back_is_the_spec_written() -> None:
    spec = SupervisorSpec(
        folder=Path("/home/run"),
        log=Path("/home/logs/supervisor.log"),
        children=(
            ChildSpec(
                name="a",
                argv=("prog", "--flag"),
                env={"TOKEN": "secret"},
                cwd=Path("/home"),
                log=Path("/home/logs/a.log"),
                stop_grace_s=4.5,
                stop_order=2,
                restart=RestartPolicy(backoff=Backoff(initial_s=1, factor=3, cap_s=9, jitter=False), failures_max=2),
                liveness=Liveness(host="127.0.0.1", port=1, question="a\r\n\x00"),
            ),
        ),
    )

    assert spec_from_json(spec.to_json()) == spec


def test_a_spec_never_shows_its_environment_when_it_is_printed() -> None:
    spec = ChildSpec(name="a", argv=("x",), env={"TOKEN": "secret"}, cwd=Path("/"), log=Path("/l"))

    assert "secret" not in repr(spec)
