"""The README says what is there: its two commands, five that a user begins with, and files to read on in."""

import re
from pathlib import Path

import pytest

from stigmer_cli.cli.entry import invoke
from stigmer_cli.cli.help.topics import TOPICS

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
LINES_MAX = 150
PAGES = (
    "README.md",
    "stigmer_cli/README.md",
    "tests/README.md",
    "tests/e2e/faults/README.md",
    ".github/CONTRIBUTING.md",
    ".github/CHANGELOG.md",
    *(f"stigmer_cli/manual/{topic}.md" for topic in TOPICS),
)


def test_the_two_commands_are_one_line_each_and_make_their_environment() -> None:
    lines = [line for line in README.splitlines() if line.startswith("python3 -m venv .venv && ")]
    assert [line.rsplit("/", 1)[1] for line in lines] == ["stigmer up", "pytest"]
    assert all("--require-hashes" in line for line in lines)


def test_it_is_short_and_links_every_page() -> None:
    assert README.count("\n") <= LINES_MAX
    linked = set(re.findall(r"\]\(([^)]+)\)", README))
    assert {page for page in PAGES if page != "README.md"} <= linked


@pytest.mark.parametrize("page", PAGES)
def test_nothing_is_left_to_fill_in_and_every_file_that_is_linked_is_there(page: str) -> None:
    text = (ROOT / page).read_text()
    assert [mark for mark in ("@@", "TODO", "FIXME") if mark in text] == []
    links = [link.partition("#")[0] for link in re.findall(r"\]\(([^)]+)\)", text) if "://" not in link]
    assert [link for link in links if not ((ROOT / page).parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES)
def test_every_file_and_every_name_in_it_that_a_page_points_to_is_there(page: str) -> None:
    text = (ROOT / page).read_text()
    pointed = re.findall(r"`((?:stigmer_cli|tests)/[\w./-]+\.\w+)(?:: (\w+))?`", text)
    assert [file for file, _ in pointed if not (ROOT / file).exists()] == []
    definition = r"^ *(?:async def|def|class) {0}\b|^{0}\b.*="
    missing = [
        f"{file}: {name}"
        for file, name in pointed
        if name and not re.search(definition.format(name), (ROOT / file).read_text(), re.MULTILINE)
    ]
    assert missing == []


def test_each_of_the_three_paths_has_its_steps() -> None:
    paths = (
        (ROOT / "stigmer_cli" / "README.md")
        .read_text()
        .partition("## Three paths through the code")[2]
        .partition("\n## ")[0]
    )
    steps = [re.findall(r"`stigmer_cli/[\w./]+\.py: \w+`", path) for path in paths.split("\n### ")[1:]]
    assert [len(found) >= 5 for found in steps] == [True, True, True]


def test_the_table_of_tests_has_every_folder() -> None:
    folders = {path.name for path in (ROOT / "tests").iterdir() if path.is_dir()} - {"__pycache__"}
    rows = set(re.findall(r"^\| `(\w+)/` \|", (ROOT / "tests" / "README.md").read_text(), re.MULTILINE))
    assert folders <= rows


def test_the_map_of_the_chaos_tier_has_every_module() -> None:
    text = (ROOT / "tests" / "README.md").read_text().partition("## The chaos tier")[2].partition("\n## ")[0]
    modules = {path.name for path in (ROOT / "tests" / "chaos").glob("*.py")} - {"__init__.py"}
    assert {name for name in modules if f"`{name}`" not in text} == set()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_completions_are_what_the_command_prints(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["completion", shell]) == 0
    assert capsys.readouterr().out == (ROOT / "completions" / f"stigmer.{shell}").read_text()
