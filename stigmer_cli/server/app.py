"""The application: what is asked while a stack starts, and later every route, behind the guard."""

from collections.abc import Callable

from starlette.types import Receive, Scope, Send

from stigmer_cli.server.first_routes import FirstRoutes
from stigmer_cli.server.guard import Guard
from stigmer_cli.server.hosts import AllowedHosts, split_names
from stigmer_cli.server.late_routes import LateRoutes
from stigmer_cli.server.services import Services
from stigmer_cli.server.time_header import TimeHeader
from stigmer_cli.server.ui.access import UiAccess


class Application:
    """The ASGI application; `token` is asked for each request, so that a rotated one counts at once."""

    def __init__(self, called: Services, *, token: Callable[[], str | None]) -> None:
        settings, clock = called.settings, called.clock
        hosts = AllowedHosts(settings.server_port, split_names(settings.allowed_hosts))
        access = UiAccess(settings.ui_address, hosts=hosts, token=token, clock=clock, port=settings.server_port)
        self._late = LateRoutes(called, token=token, access=access)
        first = FirstRoutes(self._late, called, token=token)
        self._guard = Guard(TimeHeader(first, clock=clock), hosts=hosts, token=token, pages=access)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        await self._guard(scope, receive, send)

    async def load(self) -> None:
        """Load what the first request for it would otherwise wait for; returns when it is there."""
        await self._late.load_soon()
