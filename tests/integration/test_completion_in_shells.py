"""The tab key in the real bash, zsh and fish, beside a real server and beside none."""

import asyncio
import os
import re
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from rich.cells import cell_len

from stigmer_cli.api.resources import ExecutionRequest
from tests.support.freezing import freeze
from tests.support.running_server import TOKEN, Served, make_agent
from tests.support.shells import SHELLS, Shell, Tab, interactive, is_installed, shell_environment
from tests.support.temporal_server import free_port

WITHIN_S = 60
"""The completer gives up on the server after a fraction of a second, which a busy machine may need for other things."""

LOAD: Mapping[str, tuple[str, ...]] = {
    "bash": ("source <(stigmer completion bash)",),
    "zsh": ("autoload -Uz compinit && compinit -D", "source <(stigmer completion zsh)"),
    "fish": ("stigmer completion fish | source",),
}
OLD, NEW = "aex-01m8a17qxd736wey2ggsdc1wpt", "aex-01m8a17r00000000000000abcd"
SUMMARY = "List, watch, approve, deny, resume and cancel executions"
HERE = pytest.mark.skipif(not all(map(is_installed, SHELLS)), reason="bash, zsh or fish is not installed")

pytestmark = HERE


@pytest.fixture(params=SHELLS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server with two agents and two executions, whose Temporal is away: these stay as they are."""
    home = tmp_path_factory.mktemp("stack")
    home.chmod(0o700)
    one = Served(home, f"127.0.0.1:{free_port()}")
    try:
        asyncio.run(_fill(one))
        yield one
    finally:
        one.kill()


async def _fill(server: Served) -> None:
    await server.start()
    async with server.client() as client:
        await make_agent(client)
        await make_agent(client, "grumpy")
        for name in (OLD, NEW):
            request = ExecutionRequest(agent="greeter", message="hello", id=name)
            await client.create_execution(request, idempotency_key=name, require_temporal=False)


def _environment(tmp_path: Path, server: Served | None = None, **more: str) -> dict[str, str]:
    """A person's, whose home directory has a space in its name."""
    home = tmp_path / "the home"
    home.mkdir(exist_ok=True)
    stack = {"STIGMER_HOME": str(tmp_path / "no stack")}
    if server:
        port = str(server.port)
        stack = {"STIGMER_HOME": str(server.home), "STIGMER_SERVER_PORT": port, "STIGMER_TOKEN": TOKEN}
    return shell_environment(home, **{**stack, **more})


def _press(shell: Shell, text: str, is_there: Callable[[Tab], bool]) -> Tab:
    """The tab key, pressed until the server has answered in time."""
    deadline = time.monotonic() + WITHIN_S
    while not is_there(tab := shell.press_tab(text)):
        assert time.monotonic() < deadline, tab
    return tab


def test_live_values_are_offered_with_what_they_are_and_a_server_that_fails_is_met_in_silence(
    kind: str, server: Served, tmp_path: Path
) -> None:
    with interactive(kind, _environment(tmp_path, server), *LOAD[kind]) as shell:
        tab = _press(shell, "stigmer executions get ", lambda tab: NEW[12:] in tab.shown)
        assert tab.line == "stigmer executions get aex-01m8a17"
        assert tab.shown.index(NEW[12:]) < tab.shown.index(OLD[12:])
        assert kind == "bash" or re.search(r"greeter, PENDING, .*s ago", tab.shown)
        tab = _press(shell, f"stigmer executions cancel {OLD[-6:]}", lambda tab: OLD in tab.line)
        assert tab.line == f"stigmer executions cancel {OLD} "
        tab = _press(shell, "stigmer executions get @last-failed:gru", lambda tab: "grumpy" in tab.line)
        assert tab.line == "stigmer executions get @last-failed:grumpy "
        tab = _press(shell, "stigmer run gr", lambda tab: "grumpy" in tab.shown)
        assert kind == "bash" or "greets" in tab.shown
        with _frozen(server):
            assert _is_silent(shell, "stigmer executions get ")
        shell.run("export STIGMER_TOKEN=wrong")
        assert _is_silent(shell, "stigmer run ")


@contextmanager
def _frozen(server: Served) -> Iterator[None]:
    assert server.process is not None
    freeze(server.process.pid)
    try:
        yield
    finally:
        os.kill(server.process.pid, signal.SIGCONT)


def _is_silent(shell: Shell, text: str) -> bool:
    """Whether the tab key changes nothing, and shows nothing but the line again."""
    tab = shell.press_tab(text)
    return (tab.line, tab.shown.replace(text.strip(), "").strip()) == (text, "")


def test_words_that_need_no_server_are_completed_without_one(kind: str, tmp_path: Path) -> None:
    (tmp_path / "manifest one.yaml").touch()
    with interactive(kind, _environment(tmp_path), *LOAD[kind], cwd=tmp_path) as shell:
        for text, line in {
            "stigmer exec": "stigmer executions ",
            "stigmer executions list --phase FAI": "stigmer executions list --phase FAILED ",
            "stigmer executions list --output=js": "stigmer executions list --output=json ",
            'stigmer executions list --phase "COM': 'stigmer executions list --phase "COMPLETED" ',
            "stigmer doctor explain STG50": "stigmer doctor explain STG50",
            "stigmer config set log_level war": "stigmer config set log_level warning ",
            "stigmer logs server super": "stigmer logs server supervisor ",
            "stigmer apply -f mani": r"stigmer apply -f manifest\ one.yaml ",
            "stigmer apply --file=mani": r"stigmer apply --file=manifest\ one.yaml ",
            "stigmer nosuch exec": "stigmer nosuch exec",
            "stigmer run greeter mani": "stigmer run greeter mani",
            "./elsewhere/stigmer exec": "./elsewhere/stigmer executions ",
            "stigmer executions get ": "stigmer executions get ",
        }.items():
            assert (text, shell.press_tab(text).line) == (text, line)
        assert kind == "bash" or SUMMARY in shell.press_tab("stigmer ").shown
        assert "STG504" in shell.press_tab("stigmer doctor explain STG50").shown


def test_a_broken_home_is_met_in_silence(kind: str, tmp_path: Path) -> None:
    stack = tmp_path / "no stack"
    stack.mkdir(mode=0o700)
    (stack / "config.toml").write_text("this is = not toml\n")
    with interactive(kind, _environment(tmp_path), *LOAD[kind]) as shell:
        assert _is_silent(shell, "stigmer executions get ")
        assert shell.press_tab("stigmer exec").line == "stigmer executions "


ODD: Mapping[str, tuple[str, ...]] = {
    "bash: -u and -e": ("source <(stigmer completion bash)", "set -eu"),
    "bash: POSIX mode": ("stigmer completion bash > ~/script", "set -o posix", ". ~/script"),
    "bash: no splitting at = and :": ("source <(stigmer completion bash)", "COMP_WORDBREAKS=' '"),
    "bash: IFS and noclobber": ("source <(stigmer completion bash)", "IFS=e; set -C"),
    "bash: as version 3.2 does it": (
        "source <(stigmer completion bash)",
        "enable -n compopt mapfile",
        "complete -F _stigmer stigmer",
    ),
    "bash: an alias": ("source <(stigmer completion bash)", "alias s=stigmer; complete -F _stigmer s"),
    "zsh: before compinit": ("source <(stigmer completion zsh)", "autoload -Uz compinit && compinit -D"),
    "zsh: without compinit": ("source <(stigmer completion zsh)", ""),
    "zsh: arrays of ksh, and -u": (*LOAD["zsh"], "setopt KSH_ARRAYS NO_UNSET SH_WORD_SPLIT"),
    "zsh: loaded with these": ("setopt KSH_ARRAYS NO_UNSET", *LOAD["zsh"]),
    "zsh: from fpath": (
        "mkdir -p ~/.zfunc; stigmer completion zsh > ~/.zfunc/_stigmer",
        "fpath=(~/.zfunc $fpath); autoload -Uz compinit && compinit -D",
    ),
    "zsh: an alias": (*LOAD["zsh"], "alias s=stigmer"),
    "fish: an alias": (*LOAD["fish"], "alias s=stigmer"),
    "fish: loaded twice": (*LOAD["fish"], *LOAD["fish"]),
}

EACH_TIME = ("bash: -u and -e", "zsh: before compinit", "fish: an alias")
"""One for each shell; the others take as long as all other tests of the completion."""


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in EACH_TIME else pytest.mark.slow) for name in ODD]
)
def test_the_habits_of_a_shell_do_not_break_it(name: str, tmp_path: Path) -> None:
    kind = name.partition(":")[0]
    program = "s" if "alias" in name else "stigmer"
    with interactive(kind, _environment(tmp_path, NO_COLOR="1"), *ODD[name]) as shell:
        assert shell.press_tab(f"{program} exec").line == f"{program} executions "
        text = f"{program} executions list --output=js"
        assert shell.press_tab(text).line == f"{text}on "
        assert shell.press_tab(f"{program} apply -f /etc/hostn").line == f"{program} apply -f /etc/hostname "


@pytest.mark.slow
def test_the_words_behind_sudo_are_completed(kind: str, tmp_path: Path) -> None:
    """Each shell has a completion of sudo, bash in a package of its own; fish loads it for a program that exists."""
    helpers = Path("/usr/share/bash-completion/bash_completion")
    if kind == "bash" and not helpers.exists():
        pytest.skip("bash-completion is not installed")
    sudo = tmp_path / "programs" / "sudo"
    sudo.parent.mkdir()
    sudo.write_text('#!/bin/sh\nexec "$@"\n')
    sudo.chmod(0o755)
    before = (f"source {helpers}",) if kind == "bash" else ()
    environment = _environment(tmp_path)
    environment["PATH"] = f"{environment['PATH']}:{sudo.parent}"
    with interactive(kind, environment, *before, *LOAD[kind]) as shell:
        assert shell.press_tab("sudo stigmer exec").line == "sudo stigmer executions "
        text = "sudo -E stigmer executions list --phase FAI"
        assert shell.press_tab(text).line == f"{text}LED "


def test_what_is_installed_is_loaded_by_the_next_shell_and_can_be_removed(kind: str, tmp_path: Path) -> None:
    before = {"bash": ". ~/.bashrc", "zsh": ". ~/.zshrc", "fish": ""}[kind]
    with interactive(kind, _environment(tmp_path)) as shell:
        told = shell.run("stigmer completion install")
        assert f"wrote {tmp_path}/the home/" in told.replace("\n", "")
        if kind == "zsh":
            assert "fpath=(" in told
            lines = "\n".join(line for line in told.splitlines() if line.startswith(("fpath=", "autoload ")))
            (tmp_path / "the home" / ".zshrc").write_text(f"{lines}\n")
        assert "is up to date" in shell.run("stigmer completion install").replace("\n", "")
    with interactive(kind, _environment(tmp_path), before) as shell:
        assert shell.press_tab("stigmer exec").line == "stigmer executions "
        assert "removed" in shell.run("stigmer completion uninstall")
        assert "is not there" in shell.run("stigmer completion uninstall").replace("\n", "")
    left = [path for path in (tmp_path / "the home").rglob("*") if "stigmer" in path.name]
    assert left == []


def test_a_description_in_wide_characters_stays_on_its_line(tmp_path: Path) -> None:
    """Else it would go on in the next line: a terminal gives two columns to such a character."""
    program = tmp_path / "programs" / "stigmer"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\nprintf 'values\\none\\t" + "日本語" * 60 + "\\ntwo\\tshort\\n'\n")
    with interactive("zsh", _environment(tmp_path), *LOAD["zsh"]) as shell:
        program.chmod(0o755)
        rows = [row for row in shell.press_tab(f"{program} ").shown.splitlines() if "  -- " in row]
    assert [row.partition("  -- ")[0] for row in rows] == ["one", "two"]
    assert 190 < cell_len(rows[0].rstrip(" \x08")) < 200
