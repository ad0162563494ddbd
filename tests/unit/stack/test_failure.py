"""Why a part did not start: told by the code that it wrote into its log, in its own words."""

from dataclasses import replace
from pathlib import Path

import pytest

from stigmer_cli.errors import InUse, OtherTemporal
from stigmer_cli.settings import Home
from stigmer_cli.stack.failure import (
    FailedPart,
    StartRefused,
    is_program_gone,
    refusal_in,
    set_temporal_aside,
    start_failed,
)
from stigmer_cli.supervisor.record import ExitRecord
from tests.unit.doctor.facts_builder import ENDPOINTS, child

WORDS = "server srv-1 (pid 7 on ada) uses this store with another Temporal, at t:7233; two would take each other's"
LINE = f'{{"part": "server", "code": "other-temporal", "cause": "{WORDS}", "event": "server_refused"}}'


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([LINE, "error: the end"], WORDS),
        ([f"12:00 {LINE}"], WORDS),
        ([LINE.replace("srv-1", "srv-0"), LINE], WORDS),
        (['{"code": "in-use", "cause": "no"}', "no object {", "[1]", '{"code": "other-temporal"'], ""),
        ([], ""),
    ],
)
def test_a_refusal_is_known_by_its_code(lines: list[str], words: str) -> None:
    assert refusal_in(lines, OtherTemporal.code) == words


@pytest.mark.parametrize(
    "why",
    [
        "could not be started: its program /old/bin/python3 is gone: it was moved, removed or upgraded",
        "could not be started: [Errno 2] No such file or directory: '/old/bin/python3'",
    ],
)
def test_a_part_whose_program_is_gone_is_started_from_what_is_installed_now(why: str) -> None:
    """Also where the supervisor is of an earlier version, and says it in the system's words."""
    ended = child("server", state="failed", last_exit=ExitRecord(why=why, at=""))
    assert is_program_gone(ended)
    error = start_failed(FailedPart(child=ended, lines=[], endpoints=ENDPOINTS, home=Home(path=Path("/h"))))
    assert (error.message, error.hint) == (f"server does not start: {why}", "stigmer restart")


def test_another_reason_not_to_start_is_no_program_that_is_gone() -> None:
    why = "could not be started: [Errno 13] Permission denied: '/old/bin/python3'"
    assert not is_program_gone(child("server", state="failed", last_exit=ExitRecord(why=why, at="")))
    assert not is_program_gone(child("server"))


def test_a_server_that_another_temporal_keeps_from_starting_names_it_and_the_way_out() -> None:
    ended = ExitRecord(why="ended by itself with exit code 3", at="", code=InUse.exit_code)
    failed = FailedPart(
        child=child("server", state="failed", last_exit=ended),
        lines=[LINE],
        endpoints=ENDPOINTS,
        home=Home(path=Path("/home/ada/.stigmer")),
    )
    error = start_failed(failed)
    assert isinstance(error, StartRefused)
    assert error.message.endswith("; server srv-1 (pid 7 on ada) uses this store with another Temporal, at t:7233")
    assert error.hint.endswith("stigmer up --adopt-temporal")


@pytest.mark.parametrize(
    "words", ["database disk image is malformed (11)", "file is not a database (26)", "no such table: namespaces (1)"]
)
def test_a_damaged_database_of_temporal_is_set_aside_for_executions_are_in_the_store(words: str) -> None:
    ended = ExitRecord(why="ended by itself with exit code 1", at="")
    lines = [f"Error: failed starting server: failed creating namespaces: {words}"]
    home = Home(path=Path("/home/ada l/.stigmer"))
    failed = FailedPart(
        child=child("temporal", state="failed", last_exit=ended), lines=lines, endpoints=ENDPOINTS, home=home
    )
    error = start_failed(failed)
    assert "its database /home/ada l/.stigmer/data/temporal.db is damaged" in error.message
    assert error.hint == (
        "mkdir -p '/home/ada l/.stigmer/data/damaged-temporal' && mv '/home/ada l/.stigmer/data/temporal.db'*"
        " '/home/ada l/.stigmer/data/damaged-temporal'/ && stigmer up"
    )
    server = replace(failed, child=child("server", state="failed", last_exit=ended))
    assert "damaged-temporal" not in start_failed(server).hint, "the store is never set aside so"


def test_a_second_damaged_database_of_temporal_does_not_overwrite_the_first(home: Home) -> None:
    (home.data / "damaged-temporal").mkdir(parents=True)
    assert f"{home.data}/damaged-temporal-2/ && stigmer up" in set_temporal_aside(home)
