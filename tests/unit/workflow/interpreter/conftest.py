"""An evaluator for each test: its process is shared by what a test runs."""

from collections.abc import AsyncIterator

import pytest

from stigmer_cli.workflow.expression.evaluator import Evaluator


@pytest.fixture
async def evaluator() -> AsyncIterator[Evaluator]:
    made = Evaluator()
    yield made
    await made.close()
