"""A runner fetches secrets when it needs them, waits for a server that is away, and says which one is missing."""

import random

import pytest

from stigmer_cli.errors import ConfigError, StigmerError
from stigmer_cli.runner.reports import ClockAndRng, Reporter
from stigmer_cli.runner.secrets import SecretMissing, Secrets
from stigmer_cli.secret_values import DELIVERED, GONE
from tests.support.fakes_runner import InMemoryReports
from tests.support.fakes_temporal import LoopClock, in_virtual_time


def _secrets(reports: InMemoryReports) -> Secrets:
    return Secrets(Reporter(reports, ClockAndRng(clock=LoopClock(), rng=random.Random(1))))


def test_each_reference_gets_its_value_and_a_changed_one_counts_at_once() -> None:
    reports = InMemoryReports()
    reports.secrets = {"A": "value-of-a", "B": "value-of-b"}
    secrets = _secrets(reports)
    assert in_virtual_time(secrets.resolve("${secrets.A}:${secrets.B}")) == "value-of-a:value-of-b"
    reports.secrets["A"] = "another-value"
    assert in_virtual_time(secrets.resolve("x ${secrets.A}")) == "x another-value"
    assert in_virtual_time(secrets.resolve("nothing")) == "nothing"
    assert DELIVERED.redact("value-of-a another-value") == f"{GONE} {GONE}"


def test_a_secret_that_is_not_there_is_named_with_what_to_type() -> None:
    secrets = _secrets(InMemoryReports())
    assert in_virtual_time(secrets.find("A")) is None
    with pytest.raises(SecretMissing) as caught:
        in_virtual_time(secrets.resolve("${secrets.GONE_KEY}"))
    assert caught.value.message == "there is no secret GONE_KEY: stigmer secrets set GONE_KEY"
    with pytest.raises(SecretMissing, match="'no name' is no name for a secret"):
        in_virtual_time(secrets.resolve("${secrets.no name}"))


class LockedReports(InMemoryReports):
    """A server whose key is not that of its secrets."""

    async def resolve_secrets(self, names: object) -> dict[str, str]:
        raise ConfigError(f"another key: {names}")


def test_secrets_that_the_server_cannot_read_are_not_waited_for() -> None:
    with pytest.raises(SecretMissing, match="another key"):
        in_virtual_time(_secrets(LockedReports()).find("A"))


class LateReports(InMemoryReports):
    """A server that is away at first."""

    tries = 0

    async def resolve_secrets(self, names: object) -> dict[str, str]:
        self.tries += 1
        if self.tries < 3:
            raise StigmerError("away")
        return {str(name): "late-value" for name in names}  # type: ignore[attr-defined]


def test_a_server_that_is_away_is_waited_for() -> None:
    reports = LateReports()
    assert in_virtual_time(_secrets(reports).find("A")) == "late-value"
    assert reports.tries == 3
