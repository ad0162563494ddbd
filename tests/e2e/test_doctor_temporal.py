"""`stigmer doctor` before an external Temporal: no namespace, no runner, an occupied or a silent port."""

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.doctor_reports import SETTINGS, diagnose, results_of, silent_port, verdict_of
from tests.support.installed import Stigmer, installed
from tests.support.polling import wait_until
from tests.support.temporal_server import dev_server, free_port, kill_group


def test_a_missing_namespace_a_missing_runner_and_the_founding_bug(tmp_path: Path) -> None:
    with dev_server(tmp_path) as temporal:
        settings = {"STIGMER_TEMPORAL_ADDRESS": temporal.address, "STIGMER_TEMPORAL_NAMESPACE": "missing"}
        with installed(tmp_path / "home", settings) as stigmer:
            with serving_alone(stigmer):
                code, found = diagnose(stigmer, verdict="STG203")
                assert (code, found["verdict"]["code"]) == (1, "STG203")
                assert 'namespace "missing" not found' in found["verdict"]["message"]
                assert found["verdict"]["hint"].endswith(f"namespace create -n missing --address {temporal.address}")

                stigmer.environment["STIGMER_TEMPORAL_NAMESPACE"] = "default"
                code, found = diagnose(stigmer, verdict="STG205")
                assert (code, found["verdict"]["code"]) == (1, "STG205")
                assert re.search(
                    r"this command reaches Temporal at .* but the server does not: .*MISCONFIGURED",
                    found["verdict"]["message"],
                )
            with serving_alone(stigmer):
                wait_until(lambda: diagnose(stigmer)[1]["verdict"]["code"] == "STG207")
                code, found = diagnose(stigmer, verdict="STG207")
                code_, words, hint = verdict_of(found)
                assert (code_, hint) == ("STG207", "stigmer work")
                assert re.fullmatch(
                    r'not healthy: no runner asks the task queue "stigmer-str-[0-9a-z]{26}" for work: what is'
                    r" submitted waits",
                    words,
                )
                temporal.kill()
                code, found = diagnose(stigmer, verdict="STG201")
                assert (code, found["verdict"]["code"]) == (1, "STG201")
                assert "cannot be reached from here: connection refused" in found["verdict"]["message"]


def test_a_foreign_temporal_on_our_port_is_named_and_not_used(tmp_path: Path) -> None:
    with dev_server(tmp_path) as temporal:
        settings = {"STIGMER_TEMPORAL_PORT": str(temporal.port)}
        with installed(tmp_path / "home", settings) as stigmer:
            code, found = diagnose(stigmer, verdict="STG103")
            assert (code, found["verdict"]["code"]) == (1, "STG103")
            assert f"is held by pid {temporal.pid}" in found["verdict"]["message"]
            assert found["verdict"]["hint"] == "stigmer up --auto-ports"


@pytest.mark.parametrize("greeting", [b"", SETTINGS], ids=["silent", "greets-and-falls-silent"])
def test_a_port_that_does_not_serve_is_distinguished_from_a_closed_one(tmp_path: Path, greeting: bytes) -> None:
    with silent_port(greeting) as port:
        settings = {"STIGMER_TEMPORAL_ADDRESS": f"127.0.0.1:{port}"}
        with installed(tmp_path / "home", settings) as stigmer:
            code, found = diagnose(stigmer, verdict="STG202")
        assert (code, found["verdict"]["code"]) == (1, "STG202")
        assert "takes connections, but does not serve: no answer within" in found["verdict"]["message"]


@contextmanager
def serving_alone(stigmer: Stigmer) -> Iterator[None]:
    """`stigmer serve`, without a supervisor and without a runner; entered when it answers."""
    stigmer.environment["STIGMER_SERVER_PORT"] = str(free_port())
    with (stigmer.home / "serve.log").open("ab") as log:
        process = subprocess.Popen(
            [stigmer.command, "serve"], env=stigmer.environment, stdout=log, stderr=log, start_new_session=True
        )
        try:
            wait_until(lambda: results_of(diagnose(stigmer, "--only", "STG108")[1])["STG108"] == "pass")
            yield
        finally:
            kill_group(process)
