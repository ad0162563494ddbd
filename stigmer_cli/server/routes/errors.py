"""Makes each error of the application a problem."""

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from stigmer_cli.api.problem import Problem
from stigmer_cli.errors import StigmerError
from stigmer_cli.server import problems


def install(app: FastAPI) -> None:
    """Make every error of `app` a problem."""
    app.add_exception_handler(StigmerError, problems.answer)
    app.add_exception_handler(RequestValidationError, _answer_invalid)
    app.add_exception_handler(HTTPException, _answer_plain)
    app.add_exception_handler(Exception, problems.answer)


async def _answer_invalid(_request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, RequestValidationError):
        raise TypeError("registered for RequestValidationError only")
    return problems.refuse([(problem["loc"], problem["msg"]) for problem in error.errors()])


async def _answer_plain(_request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, HTTPException):
        raise TypeError("registered for HTTPException only")
    code = {404: "not-found", 405: "method-not-allowed"}.get(error.status_code, "invalid-request")
    return problems.make_response(
        Problem(title=str(error.detail), status=error.status_code, code=code, detail=str(error.detail))
    )
