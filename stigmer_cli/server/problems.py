"""Errors to HTTP: one handler a kind, problem+json from every one of them."""

from collections.abc import Sequence
from math import ceil

import structlog
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse

from stigmer_cli.api.problem import CONTENT_TYPE, Problem, problem_of
from stigmer_cli.errors import StigmerError, Unavailable
from stigmer_cli.running_version import InstallationChanged

PLACES_MAX = 5

log = structlog.get_logger()


async def answer(request: Request, error: Exception) -> JSONResponse:
    """The answer to a request that ended with `error`."""
    if isinstance(error, StigmerError):
        return _answer_ours(error)
    return _answer_unforeseen(request, error)


def _answer_ours(error: StigmerError) -> JSONResponse:
    response = make_response(problem_of(error))
    if isinstance(error, Unavailable):
        response.headers["Retry-After"] = str(max(1, ceil(error.retry_after_s)))
    return response


def refuse_body(error: ValidationError) -> JSONResponse:
    """The answer to a request whose body does not fit, without parsing it once more."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    return refuse([(("body", *problem["loc"]), problem["msg"]) for problem in found])


def refuse(problems: Sequence[tuple[Sequence[int | str], str]]) -> JSONResponse:
    """The answer to a request that is not valid: what is wrong at which place of it."""
    places = [f"{'.'.join(map(str, place))}: {message}" for place, message in problems[:PLACES_MAX]]
    return make_response(Problem(title="invalid request", status=400, code="invalid-request", detail="; ".join(places)))


def _answer_unforeseen(request: Request, error: Exception) -> JSONResponse:
    if isinstance(error, ImportError):
        changed = InstallationChanged(error)
        log.error("installation_changed", code=changed.code, cause=changed.message, hint=changed.hint)
        return _answer_ours(changed)
    log.error("request_failed", path=request.url.path, method=request.method, exc_info=error)
    return make_response(
        Problem(
            title="internal",
            status=500,
            code="internal",
            detail=f"the server failed on this request ({type(error).__name__})",
            hint="stigmer logs server",
        )
    )


def make_response(problem: Problem) -> JSONResponse:
    """A problem as the answer to a request."""
    content = problem.model_dump(mode="json", by_alias=True, exclude_none=True)
    return JSONResponse(content, status_code=problem.status, media_type=CONTENT_TYPE)
