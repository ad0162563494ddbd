"""A clean environment, a home of one's own, and a log as it was before for every test; nothing else is automatic."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
import structlog

from stigmer_cli.cli.automation import CI_VARIABLES
from stigmer_cli.settings import Home


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """No test touches the home of whoever runs it."""
    monkeypatch.setenv("STIGMER_HOME", str(tmp_path_factory.getbasetemp() / "nobodys-home"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path_factory.getbasetemp() / "state"))


@pytest.fixture(autouse=True)
def log_as_before() -> Iterator[None]:
    """No test leaves a log behind that says less than before: some of what doctor does silences it for its process."""
    yield
    structlog.reset_defaults()


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A home that nobody else has."""
    path = tmp_path / "home"
    path.mkdir(mode=0o700)
    return Home(path=path)


def pytest_configure() -> None:
    """No test sees a setting of whoever runs it; what it starts can be interrupted, and keeps its compiled modules.

    Behind a shell's `&` jobs ignore Ctrl-C, behind `nohup` the end of the terminal, and their children inherit that.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    for name in list(os.environ):  # here, since fixtures of a module copy them before any of its tests
        if name.startswith(("STIGMER_", "OPENAI_")) or name in CI_VARIABLES:
            del os.environ[name]
    # Many images set it. Then each of the thousands of commands and parts that are started would compile its modules.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


# A stall of the machine is no finding.
hypothesis.settings.register_profile("unhurried", hypothesis.settings.default, deadline=None)
hypothesis.settings.load_profile("unhurried")

WORKERS = 2
"""Much of the suite waits for processes and deadlines; with more on two cores, deadlines of a second are missed."""


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """The whole suite runs on several workers; what somebody names runs in this process, where a debugger works."""
    return WORKERS if config.args == config.getini("testpaths") else 0


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--slow` adds the tests that are long by nature."""
    parser.addoption("--slow", action="store_true", help="also run what is long by nature")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave slow tests out, visibly, unless asked for."""
    if config.getoption("--slow"):
        return
    skip = pytest.mark.skip(reason="slow: run with --slow")
    for item in items:
        if item.get_closest_marker("slow") is not None:  # its keywords hold folders, too
            item.add_marker(skip)
