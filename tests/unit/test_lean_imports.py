"""What a part does not import, so that it starts sooner; and that Python collects garbage again afterwards."""

import dataclasses
import gc
import os
import subprocess
import sys
from dataclasses import FrozenInstanceError, dataclass
from pathlib import Path

import pytest
from pydantic import BaseModel, ValidationError

from stigmer_cli.cli.lazy_commands import LazyCommands
from stigmer_cli.lean_imports import (
    COMPILE,
    FIRST_COLLECTION,
    USUAL,
    lean_imports,
    postpone_collections,
    postpone_methods,
    postponed_models,
    skip_command_of_httpx,
)

PROGRAM = """
import sys
from stigmer_cli.lean_imports import lean_imports, skip_old_pydantic
skip_old_pydantic()
with lean_imports():
    import {module}
import rich
print(*sys.modules)
"""


def modules_of(module: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-P", "-c", PROGRAM.format(module=module)], capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


@pytest.mark.parametrize("module", ["stigmer_cli.cli.stack.serve", "stigmer_cli.cli.stack.work"])
def test_a_part_starts_without_what_it_never_uses(module: str) -> None:
    loaded = modules_of(module)
    unused = {
        "rich.console",
        "pygments",
        "alembic",
        "grpc",
        "sqlalchemy.orm",
        "sqlalchemy.dialects.postgresql",
        "typer.rich_utils",
        "yaml",
        "openai",
        "pydantic.v1.main",
        "textual",
        "mcp",
        "fastapi",
    }
    assert loaded & unused == set()
    assert "structlog" in loaded


PART = """
import sys
import stigmer_cli.cli.stack.part as part
part.run_server = part.run_runner = lambda cli: print(*sys.modules) or 7
from stigmer_cli.cli.entry import invoke
print(invoke([{command!r}]))
"""


@pytest.mark.parametrize("command", ["serve", "work"])
def test_a_part_is_run_without_the_library_of_command_lines(command: str) -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-c", PART.format(command=command)], capture_output=True, text=True, check=True
    )
    loaded, code = done.stdout.splitlines()
    assert code == "7"
    assert set(loaded.split()) & {"typer", "rich", "asyncio", "httpx"} == set()


def test_httpx_comes_without_its_command_line() -> None:
    program = "\n".join(
        [
            "import sys",
            f"from stigmer_cli.lean_imports import COMPILE, postpone_methods, {skip_command_of_httpx.__name__} as skip",
            "skip()",
            "import httpx",
            "print(httpx.AsyncClient.__name__, *sys.modules)",
        ]
    )
    done = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "AsyncClient" in loaded
    assert loaded & {"click", "rich", "pygments"} == set()


def test_a_dataclass_with_postponed_methods_is_as_any_other(monkeypatch: pytest.MonkeyPatch) -> None:
    if hasattr(dataclasses, COMPILE):  # so that the tests after this one have Python's own again
        monkeypatch.setattr(dataclasses, COMPILE, getattr(dataclasses, COMPILE))
    for _ in range(2):
        postpone_methods()

    @dataclass(frozen=True, kw_only=True)
    class Point:
        x: int
        y: int = 0

    one = Point(x=1)
    assert (one == Point(x=1), one == Point(x=2), one == object(), one != Point(x=1)) == (True, False, False, False)
    assert len({one, Point(x=1), Point(x=1, y=0), Point(x=3)}) == 2
    assert repr(one).endswith("Point(x=1, y=0)")
    with pytest.raises(FrozenInstanceError, match="cannot assign to field 'x'"):
        one.x = 2  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError, match="cannot delete field 'y'"):
        del one.y


def test_a_postponed_model_is_as_any_other_and_the_next_one_is_built_at_once() -> None:
    with postponed_models():

        class Point(BaseModel):
            x: int

    class Line(BaseModel):
        length: int

    assert (Point.__pydantic_complete__, Line.__pydantic_complete__) == (False, True)
    assert Point.model_validate_json('{"x": "1"}') == Point(x=1)
    with pytest.raises(ValidationError, match="valid integer"):
        Point.model_validate({"x": "one"})


def test_garbage_is_collected_again_after_the_imports() -> None:
    postpone_collections()
    collections = [generation["collections"] for generation in gc.get_stats()]
    with lean_imports():
        assert not gc.isenabled()
        imported: list[list[int]] = [[] for _ in range(2 * FIRST_COLLECTION)]
    assert [generation["collections"] for generation in gc.get_stats()] == collections, "none looked through all of it"
    assert gc.get_freeze_count() >= len(imported)
    gc.unfreeze()
    assert gc.isenabled()
    assert gc.get_threshold() == USUAL
    with pytest.raises(ImportError, match="nothing of this name"), lean_imports():
        raise ImportError("nothing of this name")
    assert gc.isenabled()


def test_a_version_needs_no_typer_and_a_command_only_its_own_module() -> None:
    line = "from stigmer_cli.cli.entry import invoke; import sys; invoke({arguments}); print(*sys.modules)"
    for arguments in (["--version"], ["version"]):
        done = subprocess.run(
            [sys.executable, "-P", "-c", line.format(arguments=arguments)], capture_output=True, text=True, check=True
        )
        assert "typer" not in done.stdout.splitlines()[-1].split()
    done = subprocess.run(
        [sys.executable, "-P", "-c", line.format(arguments=["down", "--help"])],
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = done.stdout.splitlines()[-1].split()
    assert "stigmer_cli.cli.stack.commands" in loaded
    assert "stigmer_cli.cli.executions.commands" not in loaded


@pytest.mark.parametrize(
    ("line", "modules"),
    [
        ("stigmer exec", {"executions"}),
        ("stigmer d", {"agents", "stack", "doctor", "drill"}),
        ("stigmer doctor --on", {"doctor"}),
        ("stigmer nonsense", set()),
    ],
)
def test_the_completion_of_a_word_imports_the_commands_that_begin_with_it(
    line: str, modules: set[str], tmp_path: Path
) -> None:
    program = "from stigmer_cli.cli.entry import invoke; import sys; invoke([]); print(*sys.modules)"
    asked = {"_STIGMER_COMPLETE": "bash", "_STIGMER_LINE": line, "_STIGMER_WORD": line.rsplit(maxsplit=1)[-1]}
    done = subprocess.run(
        [sys.executable, "-P", "-c", program],
        env={**os.environ, **asked, "STIGMER_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    offered, *_, loaded = done.stdout.splitlines()
    assert offered == "values"
    found = {name for name in loaded.split() if name.startswith("stigmer_cli.cli.") and name.endswith(".commands")}
    declared = {f"stigmer_cli.cli.{module}.commands" for module in modules}
    assert found == {*declared, "stigmer_cli.cli.help.commands"}


def test_a_command_is_imported_when_somebody_looks_at_it() -> None:
    commands = LazyCommands({"up": ("Stack", "stack.commands:up"), "gone": ("Stack", "nowhere:gone")})
    assert (list(commands), len(commands), "gone" in commands, "x" in commands) == (["up", "gone"], 2, True, False)
    assert commands["up"].name == "up"
    assert commands["up"] is commands["up"]
    with pytest.raises(ModuleNotFoundError, match="nowhere"):
        commands["gone"]
