"""No server of a test here blocks its event loop."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.blocked_loops import refuse_blocks


@pytest.fixture(autouse=True)
def no_blocked_loop(tmp_path: Path) -> Iterator[None]:
    """Fail the test whose processes said that theirs was."""
    yield
    refuse_blocks(tmp_path)
