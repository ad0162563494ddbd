"""What holds for every file: sizes, a sentence at the top, and what a light command may import."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import stigmer_cli

PACKAGE = Path(stigmer_cli.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))
LINES_MAX = 400
FUNCTION_LINES_MAX = 50
CROOKED = re.compile(r"\b(whoever|anew|farewell|mend|mends|mended|mending)\b", re.IGNORECASE)
"""Words that a reader has to read twice."""

HEAVY = ("temporalio", "httpx", "pydantic", "sqlalchemy", "fastapi", "openai", "pydantic_ai")

LIGHT = ("asyncio", "rich", "ssl", "tomllib")
"""What also nobody needs who prints a version or completes a word: each as long to import as all commands."""

LOADED = """
import atexit, sys
from stigmer_cli.cli.entry import invoke
atexit.register(lambda: print("LOADED", *sorted({{name.partition(".")[0] for name in sys.modules}})))
invoke({arguments!r})
"""


def _name(path: Path) -> str:
    return str(path.relative_to(PACKAGE.parent))


def _messages(tree: ast.AST) -> Iterator[str]:
    """Every text but docstrings and single words: what may be printed."""
    silent = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and " " in node.value
            and id(node) not in silent
        ):
            yield node.value


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_a_module_is_short_and_says_what_it_is(path: Path) -> None:
    text = path.read_text()
    tree = ast.parse(text)
    assert text.count("\n") <= LINES_MAX
    assert ast.get_docstring(tree), "a module opens with one sentence that is true of all of it"
    long = [
        f"{node.name}: {node.end_lineno - node.lineno + 1} lines"
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno is not None
        and node.end_lineno - node.lineno >= FUNCTION_LINES_MAX
    ]
    assert long == []
    assert [text for text in _messages(tree) if CROOKED.search(text)] == []


@pytest.mark.parametrize(
    ("arguments", "word"), [(["--version"], ""), (["version"], ""), ([], "stigmer exec"), ([], "stigmer restart ")]
)
def test_a_version_and_the_completion_of_a_word_load_next_to_nothing(
    arguments: list[str], word: str, tmp_path: Path
) -> None:
    completing = {"_STIGMER_COMPLETE": "bash", "_STIGMER_LINE": word, "_STIGMER_WORD": ""} if word else {}
    done = subprocess.run(
        [sys.executable, "-c", LOADED.format(arguments=arguments)],
        env={"STIGMER_HOME": str(tmp_path), "PATH": "/usr/bin:/bin", **completing},
        cwd=PACKAGE.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    loaded = done.stdout.splitlines()[-1].split()
    assert loaded[0] == "LOADED", done.stderr
    assert set(loaded) & {*HEAVY, *LIGHT} == set()


UNQUOTED = re.compile(
    r"(?:\b(?:rm|cd|mv|cp|fuser|chmod \S+|mkdir -p|ls -l|export \w+=)|-in|-out|--cached|apply -f) ?"
    r"\{(?!shlex\.quote\(|_words\()(\w[\w.]*)"
)
"""A variable behind a command of the shell that takes a path."""


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_a_path_in_a_command_that_is_printed_can_be_pasted(path: Path) -> None:
    text = path.read_text()
    found = set(UNQUOTED.findall(text))
    assert {name for name in found if not re.search(rf"\b{name}(?:, \w+)* = .*quote\(", text)} == set()


LISTING = """
import sys
from stigmer_cli.cli.executions import list
from stigmer_cli.cli.agents import list
from stigmer_cli.stack import remote, http_get, precedence
print("LOADED", *sorted({name.partition(".")[0] for name in sys.modules}))
"""


def test_a_list_is_read_and_printed_without_models_and_without_an_http_library() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LISTING], cwd=PACKAGE.parent, capture_output=True, text=True, check=True
    )
    loaded = done.stdout.split()
    assert {"rich", "asyncio"} < set(loaded)
    assert [name for name in HEAVY if name in loaded] == []


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["status"], ["version"], ["down"], ["executions", "reconcile", "--help"], ["up", "--help"]],
)
def test_a_light_command_loads_nothing_heavy(arguments: list[str], tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOADED.format(arguments=arguments)],
        env={"STIGMER_HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
        cwd=PACKAGE.parent,
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    loaded = done.stdout.splitlines()[-1].split()
    assert loaded[0] == "LOADED"
    assert [name for name in HEAVY if name in loaded] == []
