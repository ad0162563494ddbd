"""Golden files: what is rendered is compared with a file beside the tests.

`UPDATE_GOLDEN=1 pytest tests/unit/doctor` writes the files anew instead; look at the difference before you commit it.
"""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

GOLDEN = Path(__file__).parent / "golden"
IS_UPDATED = os.environ.get("UPDATE_GOLDEN") == "1"

Golden = Callable[[str, str], None]


@pytest.fixture
def golden() -> Golden:
    """Holds what was rendered against the file of that name."""

    def hold(name: str, rendered: str) -> None:
        file = GOLDEN / name
        if IS_UPDATED:
            file.write_text(rendered)
        assert rendered == file.read_text(), f"not as in {file}; UPDATE_GOLDEN=1 writes it anew"

    return hold
