"""A container under an arbitrary user id: the system has no entry for the user, and HOME and USER are not set."""

import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from temporalio.client import Client

from stigmer_cli.settings import Home, load
from stigmer_cli.stack.options import StackOptions
from stigmer_cli.stack.parts import build_parts
from stigmer_cli.supervisor.spec import ChildSpec
from stigmer_cli.temporal.dial import quiet_runtime
from tests.support.polling import eventually
from tests.support.temporal_server import die_with_parent, free_port, kill_group

UNKNOWN = ("unshare", "--user", "--map-user=54321", "--map-group=54321", "env", "-i", "PATH=/usr/bin:/bin")
"""Runs the command that follows it as a user whom the system does not know; the kernel still sees who we are."""

HINT = "export STIGMER_HOME=DIRECTORY"
YAML = Path(".config", "temporalio", "temporal.yaml")


@pytest.fixture(autouse=True)
def _needs_user_namespaces() -> None:
    if (
        shutil.which("unshare") is None
        or subprocess.run([*UNKNOWN, "true"], check=False, capture_output=True).returncode
    ):
        pytest.skip("this system lets nobody make a user namespace (unshare --user --map-user)")


def stigmer(*arguments: str, variables: Sequence[str] = ()) -> "subprocess.CompletedProcess[str]":
    argv = [*UNKNOWN, *variables, sys.executable, "-P", "-m", "stigmer_cli.cli", *arguments]
    return subprocess.run(argv, check=False, capture_output=True, text=True, timeout=30)


@contextmanager
def running(spec: ChildSpec) -> Iterator[None]:
    """The part, as a user whom the system does not know, with nothing in its environment but what its spec says."""
    part = subprocess.Popen(
        [*UNKNOWN, *(f"{name}={value}" for name, value in spec.env.items()), *spec.argv],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=die_with_parent,  # noqa: PLW1509 - one prctl
    )
    try:
        yield
    finally:
        kill_group(part)


@pytest.mark.parametrize("arguments", [("--help",), ("version",), ("help", "stack")])
def test_what_needs_no_home_works(arguments: tuple[str, ...]) -> None:
    done = stigmer(*arguments)

    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("arguments", [("up",), ("status",), ("doctor",), ("executions", "list")])
@pytest.mark.parametrize("variables", [(), ("HOME=",)], ids=["no HOME", "an empty HOME"])
def test_what_needs_a_home_says_how_to_name_one(arguments: tuple[str, ...], variables: tuple[str, ...]) -> None:
    done = stigmer(*arguments, variables=variables)

    assert done.returncode == 2
    message = "error: there is no home directory: HOME is not set, and this system has no entry for user id 54321"
    assert done.stderr.splitlines() == [message, f"hint: {HINT}"]


@pytest.mark.parametrize(
    "shell", [{}, {"TEMPORAL_ENV": "nosuch"}, {"OTEL_TRACES_EXPORTER": "console"}, {"GOMEMLIMIT": "4g"}]
)
async def test_temporal_starts_without_a_user_and_without_its_own_configuration(
    home: Home, tmp_path: Path, shell: dict[str, str]
) -> None:
    broken = tmp_path / YAML
    broken.parent.mkdir(parents=True)
    broken.write_text(": : [", encoding="utf-8")
    environ = {**shell, "HOME": str(tmp_path)} if shell else {}
    settings = load({"temporal_port": str(free_port())}, {"STIGMER_HOME": str(home.path)}, user_home=None)
    [temporal, *_] = build_parts(settings, StackOptions(ephemeral=True), environ)
    with running(temporal):
        connect = partial(Client.connect, settings.temporal_target, runtime=quiet_runtime())
        await eventually(connect, within_s=20, despite=RuntimeError)
