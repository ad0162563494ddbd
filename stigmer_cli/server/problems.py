"""Errors to HTTP: one handler a kind, problem+json from every one of them."""

from collections.abc import Sequence
from math import ceil

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import ValidationError
from starlette.exceptions import HTTPException

from stigmer_cli.api.problem import CONTENT_TYPE, Problem, problem_of
from stigmer_cli.errors import StigmerError, Unavailable
from stigmer_cli.running_version import InstallationChanged

PLACES_MAX = 5

log = structlog.get_logger()


def install(app: FastAPI) -> None:
    """Make every error of `app` a problem."""
    app.add_exception_handler(StigmerError, _answer_ours)
    app.add_exception_handler(RequestValidationError, _answer_invalid)
    app.add_exception_handler(HTTPException, _answer_plain)
    app.add_exception_handler(Exception, _answer_unforeseen)


async def answer(request: Request, error: Exception) -> JSONResponse:
    """The answer to a request that ended with `error`."""
    return await (_answer_ours if isinstance(error, StigmerError) else _answer_unforeseen)(request, error)


async def _answer_ours(_request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, StigmerError):
        raise TypeError("registered for StigmerError only")
    response = _make_response(problem_of(error))
    if isinstance(error, Unavailable):
        response.headers["Retry-After"] = str(max(1, ceil(error.retry_after_s)))
    return response


async def _answer_invalid(_request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, RequestValidationError):
        raise TypeError("registered for RequestValidationError only")
    return _refuse([(problem["loc"], problem["msg"]) for problem in error.errors()])


def refuse_body(error: ValidationError) -> JSONResponse:
    """The answer to a request whose body does not fit, without parsing it once more."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    return _refuse([(("body", *problem["loc"]), problem["msg"]) for problem in found])


def _refuse(problems: Sequence[tuple[Sequence[int | str], str]]) -> JSONResponse:
    places = [f"{'.'.join(map(str, place))}: {message}" for place, message in problems[:PLACES_MAX]]
    return _make_response(
        Problem(title="invalid request", status=400, code="invalid-request", detail="; ".join(places))
    )


async def _answer_plain(_request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, HTTPException):
        raise TypeError("registered for HTTPException only")
    code = {404: "not-found", 405: "method-not-allowed"}.get(error.status_code, "invalid-request")
    return _make_response(
        Problem(title=str(error.detail), status=error.status_code, code=code, detail=str(error.detail))
    )


async def _answer_unforeseen(request: Request, error: Exception) -> JSONResponse:
    if isinstance(error, ImportError):
        changed = InstallationChanged(error)
        log.error("installation_changed", code=changed.code, cause=changed.message, hint=changed.hint)
        return await _answer_ours(request, changed)
    log.error("request_failed", path=request.url.path, method=request.method, exc_info=error)
    return _make_response(
        Problem(
            title="internal",
            status=500,
            code="internal",
            detail=f"the server failed on this request ({type(error).__name__})",
            hint="stigmer logs server",
        )
    )


def _make_response(problem: Problem) -> JSONResponse:
    content = problem.model_dump(mode="json", by_alias=True, exclude_none=True)
    return JSONResponse(content, status_code=problem.status, media_type=CONTENT_TYPE)
