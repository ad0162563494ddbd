"""Every route, with FastAPI, which takes as long to import as half of the rest of the server: see late_routes.py."""

import asyncio
import warnings
from collections.abc import Callable
from functools import partial

from fastapi import FastAPI
from fastapi.responses import JSONResponse
from pydantic.warnings import UnsupportedFieldAttributeWarning
from starlette.types import ASGIApp

from stigmer_cli.server.direct import DirectRoutes
from stigmer_cli.server.routes import (
    agents,
    bulk,
    challenge,
    children,
    cloud_events,
    errors,
    execution_names,
    executions,
    health,
    identity,
    reconcile,
    reports,
    resume,
    schedules,
    secrets,
    sessions,
    steps,
    stuck,
    ui,
    usage,
    waits,
    workflow_tasks,
    workflows,
)
from stigmer_cli.server.services import Services
from stigmer_cli.server.ui.access import UiAccess

warnings.simplefilter("ignore", UnsupportedFieldAttributeWarning)
"""As FastAPI ignores it where it builds a body at once: ours are built when the first such body comes."""


def build(called: Services, *, token: Callable[[], str | None], access: UiAccess) -> ASGIApp:
    """The application behind the guard; `token` is asked for each request, so that a rotated one counts at once."""
    app = FastAPI(title="Stigmer", openapi_url=None)
    app.state.services = called
    app.state.token = token
    app.state.ui = access
    # Routes are tried one after another: first those that each execution takes.
    groups = (
        reports,
        steps,
        waits,
        executions,
        challenge,
        health,
        identity,
        children,
        workflow_tasks,
        agents,
        workflows,
        usage,
        secrets,
        sessions,
        reconcile,
        resume,
        stuck,
        execution_names,
        bulk,
        cloud_events,
        schedules,
        ui,
    )
    for routes in groups:
        app.include_router(routes.router)
    app.add_api_route("/v1/openapi.json", partial(_describe_api, app), include_in_schema=False)
    errors.install(app)
    return DirectRoutes(app, called)


async def _describe_api(app: FastAPI) -> JSONResponse:
    """The OpenAPI description of all routes; its first making takes a quarter of a second, too long for the loop."""
    return JSONResponse(await asyncio.to_thread(app.openapi))
