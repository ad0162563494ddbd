"""Routes that cannot be loaded any more: whoever asks for one is told why, and the server goes on."""

import asyncio
from types import SimpleNamespace
from typing import cast

import httpx
import pytest

from stigmer_cli.server import late_routes
from stigmer_cli.server.late_routes import LOAD_AFTER_S, LateRoutes
from stigmer_cli.server.services import Services
from stigmer_cli.server.ui.access import UiAccess
from tests.support.fakes import ManualClock


async def test_routes_of_an_installation_that_is_gone_are_answered_with_the_way_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(late_routes, "MODULE", "stigmer_cli.server.gone")
    clock = ManualClock()
    called = cast("Services", SimpleNamespace(clock=clock))
    routes = LateRoutes(called, token=lambda: None, access=cast("UiAccess", None))
    loading = asyncio.create_task(routes.load_soon())
    await asyncio.sleep(0)
    await clock.advance(LOAD_AFTER_S)
    await loading  # what is missing does not end the server
    async with httpx.AsyncClient(transport=httpx.ASGITransport(routes), base_url="http://s") as http:
        answer = await http.get("/v1/agents")
    assert (answer.status_code, answer.json()["code"]) == (507, "installation-changed")
    assert "stigmer restart" in answer.json()["hint"]
