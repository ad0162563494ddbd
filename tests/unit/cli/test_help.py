"""`stigmer help`: its pages, their names, what a terminal shows of them, and that what they name exists."""

import io
import re
import signal
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer import Context
from typer.main import get_command

from stigmer_cli import errors
from stigmer_cli.cli.app import build_application
from stigmer_cli.cli.entry import invoke
from stigmer_cli.cli.help.page import find_pager, render_markdown, show_in_pager
from stigmer_cli.cli.help.topics import TOPICS, read_page, read_summary
from stigmer_cli.cli.sections import SECTIONS
from stigmer_cli.doctor.catalog import CHECKS
from stigmer_cli.domain.phase import Phase
from stigmer_cli.domain.stuck import StuckClass
from stigmer_cli.errors import StigmerError
from stigmer_cli.settings import OPTIONS, Option
from tests.unit.test_house_rules import CROOKED

README = Path(__file__).parents[3] / "README.md"
COMMANDS: Any = dict(getattr(get_command(build_application()), "commands"))  # noqa: B009 - typer types it as a plain command
COLUMNS = 80
LONG = re.compile(r"--[a-z]+(-[a-z]+)*")
PLACEHOLDER = re.compile(r"[A-Z]+(:[A-Z]+)?|\[[A-Z]+\](\.\.\.)?|\[=SPAN\]")
SUMMARY_MAX = 61
CODE_MAX = COLUMNS - 2
CODE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def test_each_page_has_a_topic_and_each_topic_a_page() -> None:
    assert sorted(TOPICS) == sorted(
        file.name.removesuffix(".md") for file in (files("stigmer_cli") / "manual").iterdir()
    )


def _paths(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield path
    for name, below in getattr(command, "commands", {}).items():
        yield from _paths(below, (*path, name))


@pytest.mark.parametrize("path", [*_paths(get_command(build_application()))], ids=" ".join)
def test_the_help_of_each_command_and_group_is_plain_text(
    path: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert invoke([*path, "--help"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"Usage: {' '.join(('stigmer', *path))} [OPTIONS]")
    assert "-completion" not in shown.replace("completions", "")


@pytest.mark.parametrize("topic", TOPICS)
def test_a_page_has_a_heading_a_short_summary_and_code_that_fits_a_terminal(topic: str) -> None:
    text = read_page(topic)
    assert re.match(r"# \S.*\n\n\S.*\.\n\n", text)
    assert len(read_summary(topic)) <= SUMMARY_MAX
    assert [line for _, block in CODE.findall(text) for line in block.splitlines() if len(line) > CODE_MAX] == []
    assert CROOKED.findall(text) == []


@pytest.mark.parametrize("topic", TOPICS)
@pytest.mark.parametrize("width", [80, 120])
def test_a_page_on_a_terminal_loses_no_word_and_no_line_is_too_long(topic: str, width: int) -> None:
    console = Console(width=width, file=io.StringIO(), color_system=None)
    shown = render_markdown(console, read_page(topic))
    assert max(map(len, shown.splitlines())) <= width
    for _, block in CODE.findall(read_page(topic)):
        for line in filter(None, block.splitlines()):
            assert f"  {line.rstrip()}\n" in shown
    assert "```" not in shown
    assert "**" not in shown


def test_help_lists_every_topic_with_its_summary(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["help"]) == 0
    listed = dict(re.findall(r"^  (\S+) +(.+)$", capsys.readouterr().out, re.MULTILINE))
    assert listed == {topic: read_summary(topic) for topic in TOPICS}


def test_a_page_that_no_terminal_shows_is_its_markdown(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["help", "scripting"]) == 0
    assert capsys.readouterr().out == read_page("scripting")


def test_the_help_of_a_command_is_what_the_command_prints(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["help", "executions", "list"]) == 0
    shown = capsys.readouterr().out
    assert invoke(["executions", "list", "--help"]) == 0
    assert shown == capsys.readouterr().out


def walk_commands(commands: dict[str, Any], path: str = "stigmer") -> Iterator[tuple[str, Any]]:
    """Every command with the words that name it."""
    for name, command in commands.items():
        yield f"{path} {name}", command
        yield from walk_commands(getattr(command, "commands", {}), f"{path} {name}")


def test_each_option_is_named_in_lower_case_with_two_dashes() -> None:
    """Typer names an option by its metavar, `--PORT`, where that is the parameter's name in capitals."""
    wrong = [
        f"{name}: {option.opts}"
        for name, command in walk_commands(COMMANDS)
        for option in command.params
        if option.param_type_name == "option" and not any(LONG.fullmatch(one) for one in option.opts)
    ]
    assert wrong == []


def test_each_value_is_named_by_a_placeholder_in_capitals() -> None:
    def placeholder(name: str, one: Any) -> str:
        return str(one.make_metavar(Context(dict(walk_commands(COMMANDS))[name], info_name=name)))

    named = [
        (name, one.name, placeholder(name, one))
        for name, command in walk_commands(COMMANDS)
        for one in command.params
        if not getattr(one, "is_flag", False)
    ]
    assert len(named) > 40
    assert [(name, one, shown) for name, one, shown in named if not PLACEHOLDER.fullmatch(shown)] == []


@pytest.mark.parametrize("words", [[], *(name.split()[1:] for name, _ in walk_commands(COMMANDS))], ids=" ".join)
def test_help_fits_a_terminal_of_80_columns_and_nothing_in_it_is_cut(
    words: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(COLUMNS))
    assert invoke([*words, "--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if len(line) > COLUMNS or re.search(r"[^\]]\.\.\.$", line)] == []
    assert "{" not in "".join(lines[: lines.index("")])


def test_every_command_is_in_one_section_of_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["--help"]) == 0
    sections = re.split(r"^(\S.*):$", capsys.readouterr().out.partition("\nStack:")[2], flags=re.MULTILINE)
    assert sections[1::2] == list(SECTIONS[1:])
    assert sorted(re.findall(r"^  ([a-z]+)  ", "".join(sections[::2]), re.MULTILINE)) == sorted(COMMANDS)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["setings"], "there is no page and no command 'setings'; did you mean settings?"),
        (["versoin"], "there is no page and no command 'versoin'; did you mean version?"),
        (["executions", "lits"], "there is no page and no command 'executions lits'; did you mean list?"),
        (["xyzzy"], "there is no page and no command 'xyzzy'"),
    ],
)
def test_an_unknown_topic_is_wrong_usage_and_names_the_nearest(
    words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert invoke(["help", *words]) == 2
    assert capsys.readouterr().err == f"error: {sentence}\nhint: stigmer help\n"


def test_the_pager_is_the_users_or_less_and_none_where_it_cannot_work() -> None:
    assert find_pager({"PAGER": "sh -c cat"}) == ["sh", "-c", "cat"]
    assert find_pager({"PAGER": "cat"}) == ()
    assert find_pager({"PAGER": ""}) == ()
    assert find_pager({"PAGER": "sh", "TERM": "dumb"}) == ()
    assert find_pager({"PAGER": "sh", "CI": "true"}) == ()
    assert find_pager({"PAGER": "/nowhere/less"}) == ()
    assert find_pager({"PAGER": "sh -c 'cat"}) == ()


def test_the_pager_gets_the_page_and_the_options_that_less_needs(tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    pager = ["sh", "-c", f'echo "$LESS" > {seen}; cat >> {seen}']
    assert show_in_pager(pager, "a page\n", {})
    assert seen.read_text() == "FRX\na page\n"
    assert show_in_pager(pager, "a page\n", {"LESS": "S"})
    assert seen.read_text() == "S\na page\n"
    assert not show_in_pager(["/nowhere/less"], "a page\n", {})


def test_ctrl_c_is_for_the_pager(tmp_path: Path) -> None:
    """Else it would be killed by who started it, and the terminal stay as it was set for it."""
    seen = tmp_path / "seen"
    assert show_in_pager(["sh", "-c", f"trap : INT; kill -INT $PPID; sleep 0.5; cat > {seen}"], "a page\n", {})
    assert seen.read_text() == "a page\n"
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


# -- what the pages name is there


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)
def test_every_setting_has_its_row(option: Option) -> None:
    assert f"| `{option.variable}` | `{option.name}` |" in read_page("settings")


def test_every_exit_code_of_an_error_has_its_row() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, StigmerError)]
    documented = {int(code) for code in re.findall(r"^\| (\d+) \|", read_page("scripting"), re.MULTILINE)}
    assert {kind.exit_code for kind in kinds} <= documented


def test_every_phase_and_every_class_of_what_is_stuck_has_its_row() -> None:
    named = set(
        re.findall(r"`([^`]+)`", " ".join(re.findall(r"^\| ([^|]+) \|", read_page("executions"), re.MULTILINE)))
    )
    assert {*Phase} <= named
    assert {*StuckClass} <= named


def test_every_check_has_its_row() -> None:
    rows = [
        "| code | category | check | severity |",
        "|---|---|---|---|",
        *(f"| {check.code} | {check.category} | {check.name} | {check.severity} |" for check in CHECKS),
    ]
    table = (
        read_page("doctor")
        .partition("<!-- checks:begin -->")[2]
        .partition("<!-- checks:end -->")[0]
        .strip()
        .splitlines()
    )
    assert table == rows, "\n".join(["replace the table of stigmer_cli/manual/doctor.md by:", *rows])


def test_no_explanation_of_a_check_has_a_word_that_a_reader_has_to_read_twice() -> None:
    assert [check.code for check in CHECKS if CROOKED.search(check.explanation)] == []


def test_every_command_is_on_a_page() -> None:
    text = "".join(read_page(topic) for topic in TOPICS)
    assert [name for name in COMMANDS if f"stigmer {name}" not in text] == []


def commands_written() -> Iterator[tuple[str, str]]:
    """Every `stigmer ...` that the pages and the README let a reader type, with the place where it stands."""
    for place, text in (*((topic, read_page(topic)) for topic in TOPICS), ("README.md", README.read_text())):
        prose = CODE.sub("", text)
        lines = [line for kind, block in CODE.findall(text) if kind in {"sh", "console"} for line in block.splitlines()]
        typed = [line for line in lines if not line.startswith(("error:", "hint:", "next:"))]
        for words in (*re.findall(r"`([^`]+)`", prose.replace("\n", " ")), *typed):
            for command in re.findall(r"(?:^|[\s(/])stigmer ((?:[a-z]|--)[^;&|>`#()]*)", words):
                yield place, command


@pytest.mark.parametrize(("place", "command"), sorted(set(commands_written())))
def test_a_command_that_is_written_down_exists_with_its_options(place: str, command: str) -> None:
    here, options = COMMANDS, {"--help"}
    for word in command.split():
        if isinstance(here, dict) and word in here:
            found = here[word]
            here = getattr(found, "commands", None)
            options = {"--help", *(name for one in found.params for name in (*one.opts, *one.secondary_opts))}
        elif isinstance(here, dict) and not word.startswith("-"):
            strange = [name for name in word.split("|") if name not in here]
            assert strange == [], f"{place}: stigmer {command}: no such command"
        elif word.startswith("--"):
            name = re.split(r"[=\[]", word)[0]
            assert name in options, f"{place}: stigmer {command}: no option {name}"
            here = None  # what follows may be its value
        elif word.startswith("-"):
            here = None


def helps() -> Iterator[tuple[str, str]]:
    """The help of every command and of its options."""
    for place, command in walk_commands(COMMANDS):
        yield place, " ".join((command.help or "", *(getattr(one, "help", "") or "" for one in command.params)))


def test_no_help_has_a_word_that_a_reader_has_to_read_twice() -> None:
    assert [(place, CROOKED.findall(text)) for place, text in helps() if CROOKED.search(text)] == []


def test_the_topics_that_are_named_exist() -> None:
    named = {
        topic for place, command in commands_written() for topic in re.findall(r"^help ([a-z-]+)$", command.strip())
    }
    assert named - {*TOPICS, *COMMANDS} == set()
    assert len(named) > 5
