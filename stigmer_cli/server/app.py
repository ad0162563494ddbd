"""The application: routes behind the guard, with the services they call."""

from collections.abc import Callable

from fastapi import FastAPI
from starlette.types import ASGIApp

from stigmer_cli.server import problems
from stigmer_cli.server.guard import Guard
from stigmer_cli.server.hosts import AllowedHosts, split_names
from stigmer_cli.server.routes import (
    agents,
    bulk,
    challenge,
    execution_names,
    executions,
    health,
    identity,
    reconcile,
    reports,
    stuck,
    ui,
    usage,
)
from stigmer_cli.server.services import Services
from stigmer_cli.server.time_header import TimeHeader
from stigmer_cli.server.ui.access import UiAccess


def build(called: Services, *, token: Callable[[], str | None]) -> ASGIApp:
    """The ASGI application; `token` is asked for each request, so that a rotated one counts at once."""
    app = FastAPI(title="Stigmer", docs_url=None, redoc_url=None, openapi_url="/v1/openapi.json")
    app.state.services = called
    app.state.token = token
    groups = (
        challenge,
        health,
        identity,
        agents,
        usage,
        reconcile,
        stuck,
        execution_names,
        bulk,
        executions,
        reports,
        ui,
    )
    for routes in groups:
        app.include_router(routes.router)
    problems.install(app)
    settings = called.settings
    hosts = AllowedHosts(settings.server_port, split_names(settings.allowed_hosts))
    access = UiAccess(settings.ui_address, hosts=hosts, token=token, clock=called.clock, port=settings.server_port)
    app.state.ui = access
    return Guard(TimeHeader(app, clock=called.clock), hosts=hosts, token=token, pages=access)
