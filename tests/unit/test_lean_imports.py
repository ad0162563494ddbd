"""What a part does not import, so that it starts sooner; and that Python collects garbage again afterwards."""

import gc
import subprocess
import sys

import pytest

from stigmer_cli.lean_imports import lean_imports

PROGRAM = """
import sys
from stigmer_cli.lean_imports import lean_imports
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
    unused = {"rich.console", "pygments", "alembic", "sqlalchemy.orm", "typer.rich_utils", "openai", "textual", "mcp"}
    assert loaded & unused == set()
    assert "structlog" in loaded


def test_garbage_is_collected_again_after_the_imports() -> None:
    with lean_imports():
        assert not gc.isenabled()
    assert gc.isenabled()
    with pytest.raises(ImportError, match="nothing of this name"), lean_imports():
        raise ImportError("nothing of this name")
    assert gc.isenabled()
