"""How long a model may be silent, before its first word as after it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from stigmer_cli.runner.model.seam import ModelBusy
from stigmer_cli.runner.model.silence import Silence
from tests.support.virtual_time import run_virtually


def test_a_model_without_a_first_word_is_given_up_after_the_time_of_the_setting() -> None:
    @asynccontextmanager
    async def never_open() -> AsyncIterator[None]:
        await asyncio.sleep(10_000)
        yield

    async def ask() -> float:
        silence = Silence(max_s=300, make_error=lambda: ModelBusy("silent"))
        with pytest.raises(ModelBusy, match="silent"):
            async with silence.until_open(never_open()):
                pass
        return asyncio.get_running_loop().time()

    assert run_virtually(ask()) == pytest.approx(300)
