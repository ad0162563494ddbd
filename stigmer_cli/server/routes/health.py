"""Whether the server lives, accepts, and what it sees of the other parts."""

from fastapi import APIRouter, Request, Response
from fastapi.responses import PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST

from stigmer_cli.api.health import Health, Readiness
from stigmer_cli.server.guard import IS_KNOWN
from stigmer_cli.server.health import describe_health, describe_readiness, find_oldest_age_s, find_store_error
from stigmer_cli.server.routes.called import Called

router = APIRouter()


@router.get("/livez")
async def livez() -> PlainTextResponse:
    """200 while the event loop runs."""
    return PlainTextResponse("ok\n")


@router.get("/readyz")
async def readyz(request: Request, response: Response, called: Called) -> Readiness:
    """Whether an execution would be accepted now; Temporal's absence does not change that."""
    found = await describe_readiness(called, is_known=request.scope.get(IS_KNOWN, False))
    response.status_code = 200 if found.ready else 503
    return found


@router.get("/v1/health")
async def health(called: Called) -> Health:
    """Every part as the server sees it."""
    return await describe_health(called)


@router.get("/metrics")
async def metrics(called: Called) -> Response:
    """Everything that is counted, in Prometheus' text format."""
    if not await find_store_error(called):
        called.metrics.record_executions(
            await called.store.executions.count_by_phase(),
            queued=await called.store.executions.queued_count(),
            oldest_pending_age_s=await find_oldest_age_s(called),
        )
    called.metrics.record_connection(called.link.status(), now=called.clock.now())
    called.metrics.pollers.set(len(called.pollers.polling.live))
    return Response(called.metrics.text(), media_type=CONTENT_TYPE_LATEST)
