"""Every argument and option says what may stand there, and what is offered is what the command takes."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from typer._click import Context
from typer._click.core import Command, Parameter
from typer.main import get_command

from stigmer_cli.cli.app import build_application
from stigmer_cli.cli.completion import values
from stigmer_cli.cli.completion.commands import Shell
from stigmer_cli.cli.completion.complete import complete, name_of_value
from stigmer_cli.cli.completion.install import read_script
from stigmer_cli.cli.completion.request import Request
from stigmer_cli.cli.completion.values import PARTS, VALUES
from stigmer_cli.cli.context import Cli
from stigmer_cli.doctor.catalog import CHECKS
from stigmer_cli.stack.parts import NAMES

ROOT = Path(__file__).parents[4]


def _parameters(command: Command, context: Context) -> Iterator[tuple[str, Parameter, Context]]:
    for parameter in command.params:
        if not getattr(parameter, "is_flag", False):
            yield f"{context.command_path} {parameter.name}", parameter, context
    for name, one in getattr(command, "commands", {}).items():
        yield from _parameters(one, Context(one, info_name=name, parent=context))


ROOT_COMMAND = get_command(build_application())
PARAMETERS = list(_parameters(ROOT_COMMAND, Context(ROOT_COMMAND, info_name="stigmer")))


def _values(*words: str, environ: Mapping[str, str] | None = None) -> list[str]:
    cli = Cli(environ=environ or {"STIGMER_HOME": "/nowhere"}, user_home=None)
    kind, *values = complete(cli, Request(shell_name="bash", words=words[:-1], current=words[-1])).splitlines()
    assert kind == "values"
    return values


@pytest.mark.parametrize(("name", "parameter", "context"), PARAMETERS, ids=[name for name, *_ in PARAMETERS])
def test_every_value_has_completions_or_is_known_to_have_none(
    name: str, parameter: Parameter, context: Context
) -> None:
    assert name_of_value(parameter, context) in VALUES or hasattr(parameter.type, "choices"), name


def test_every_name_of_a_value_is_used() -> None:
    ahead = {"DIRECTORY", "K=V", "LABEL", "TEXT", "TIME"}
    assert set(VALUES) - {name_of_value(parameter, context) for _, parameter, context in PARAMETERS} <= ahead


def test_all_checks_and_their_categories_are_offered() -> None:
    codes = [check.code for check in CHECKS]
    assert sorted(_values("doctor", "explain", "")) == sorted(codes)
    categories = {check.category for check in CHECKS}
    assert sorted(_values("doctor", "--only", "")) == sorted({*codes, *categories})


def test_all_parts_are_offered_and_none_twice() -> None:
    assert PARTS == NAMES
    assert _values("logs", "") == list(NAMES)
    assert _values("logs", "server", "runner", "") == ["supervisor", "temporal"]
    assert _values("restart", "") == ["temporal", "server", "runner"]


@pytest.mark.parametrize(
    ("words", "values"),
    [
        (("config", "set", "submit_policy", ""), ["queue", "fail-fast"]),
        (("config", "set", "reconcile", "m"), ["manual"]),
        (("config", "set", "temporal_tls", ""), ["true", "false"]),
        (("config", "set", "server_port", ""), []),
        (("config", "set", "nosuch", ""), []),
        (("config", "get", "log"), ["log_level"]),
        (("executions", "list", "--phase", "PENDING", "--phase", "c"), ["COMPLETED", "CANCELLED"]),
        (("executions", "list", "-o", "s"), ["stream-json"]),
        (("executions", "list", "--kind", ""), ["agent", "workflow"]),
        (("completion", "install", ""), ["bash", "zsh", "fish"]),
        (("help", "executions", "w"), ["watch"]),
        (("help", "up"), ["upgrading", "up"]),
        (("doctor", "--wait", "exp"), ["explain"]),
        (("executions", "--", "lis"), ["list"]),
        (("nosuch", ""), []),
        (("executions", "nosuch", ""), []),
        (("executions", "get", ""), []),
        (("executions", "get", "@"), ["@last", "@last-failed"]),
        (("run", ""), []),
        (("run", "greeter", ""), []),
        (("--vers",), ["--version"]),
    ],
)
def test_what_is_offered_is_what_the_command_takes(words: tuple[str, ...], values: list[str]) -> None:
    assert _values(*words) == values


@pytest.mark.parametrize(
    "words",
    [
        ("apply", "-f", ""),
        ("apply", "--file=x"),
        ("run", "greeter", "--file", ""),
        ("doctor", "--bundle", ""),
        ("config", "set", "tls_cert_file", ""),
    ],
)
def test_files_are_left_to_the_shell(words: tuple[str, ...]) -> None:
    cli = Cli(environ={}, user_home=None)
    assert complete(cli, Request(shell_name="zsh", words=words[:-1], current=words[-1])) == "files\n"


def test_a_version_that_is_asked_for_on_the_way_is_not_printed(capsys: pytest.CaptureFixture[str]) -> None:
    cli = Cli(environ={}, user_home=None)
    complete(cli, Request(shell_name="zsh", words=("--version",), current=""))
    assert capsys.readouterr() == ("", "")


def test_only_workflows_with_a_schedule_are_offered_to_be_paused(monkeypatch: pytest.MonkeyPatch) -> None:
    named = [{"metadata": {"name": name, "namespace": "n", "version": "1"}} for name in "ab"]
    known = {
        "/v1/workflows?limit=100&brief=true": named,
        "/v1/schedules": [{"workflow": "n/b", "text": "every 20m"}],
    }
    monkeypatch.setattr(values, "_fetch", lambda _asked, path: {"items": known[path], "now": None})
    assert _values("workflows", "get", "") == ["a", "b"]
    assert _values("schedules", "pause", "") == ["n/b"]
    assert _values("schedules", "resume", "") == ["n/b"]


def test_what_fails_offers_nothing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def fail(_asked: object) -> None:
        raise RuntimeError("broken")

    monkeypatch.setitem(VALUES, "ID", fail)
    cli = Cli(environ={}, user_home=None)
    assert complete(cli, Request(shell_name="zsh", words=("executions", "get"), current="")) == ""
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("shell", Shell)
def test_the_scripts_beside_the_package_are_those_in_it(shell: Shell) -> None:
    assert (ROOT / "completions" / f"stigmer.{shell}").read_text() == read_script(shell)
