"""The routes that nobody asks for while a stack starts: loaded soon after, or for the first request that needs them.

What they need takes as long to import as half of what the server needs to start, and `stigmer up` waits for that.
"""

import asyncio
from collections.abc import Callable
from importlib import import_module

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from stigmer_cli.lean_imports import late_imports, postponed_models
from stigmer_cli.server import problems
from stigmer_cli.server.services import Services
from stigmer_cli.server.ui.access import UiAccess

LOAD_AFTER_S = 1.0
"""By then a stack that started is ready. An installation that is replaced later finds everything loaded."""

MODULE = "stigmer_cli.server.every_route"
NEEDED_LATER = ("anyio._backends._asyncio",)
"""What a library that was imported before imports itself when it is first used: here by the first stream."""


class LateRoutes:
    """ASGI application: every route."""

    def __init__(self, called: Services, *, token: Callable[[], str | None], access: UiAccess) -> None:
        self._called, self._token, self._access = called, token, access
        self._loading = asyncio.Lock()
        self._app: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, once the routes are there."""
        try:
            app = self._app or await self._load()
        except Exception as error:  # noqa: BLE001 - each is answered, as the routes do
            app = await problems.answer(Request(scope), error)
        await app(scope, receive, send)

    async def load_soon(self) -> None:
        """Load them after `LOAD_AFTER_S`; what stands in the way is told to the first request that needs them."""
        await self._called.clock.sleep(LOAD_AFTER_S)
        try:
            await self._load()
        except ImportError:
            return

    async def _load(self) -> ASGIApp:
        async with self._loading:
            if self._app is None:
                self._app = await asyncio.to_thread(self._make)
            return self._app

    def _make(self) -> ASGIApp:
        with late_imports():
            with postponed_models():
                module = import_module(MODULE)
                for name in NEEDED_LATER:
                    import_module(name)
            app: ASGIApp = module.build(self._called, token=self._token, access=self._access)
        return app
