"""A body as FastAPI answers it, without FastAPI."""

from pydantic import BaseModel
from starlette.responses import Response


def json_answer(body: BaseModel, *, status: int = 200) -> Response:
    """`body` as JSON, by the names that it has there."""
    return Response(body.model_dump_json(by_alias=True), status_code=status, media_type="application/json")
