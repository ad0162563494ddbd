"""Sessions: list, get, delete."""

from datetime import datetime
from typing import Annotated

import structlog
from fastapi import APIRouter, Query

from stigmer_cli.api.sessions import DeletedSession, SessionBody, SessionPage, session_body
from stigmer_cli.errors import RequestError
from stigmer_cli.server.routes.called import Called

PAGE_MAX = 500

router = APIRouter(prefix="/v1")

log = structlog.get_logger()


@router.get("/sessions")
async def list_sessions(
    called: Called, limit: Annotated[int, Query(ge=1, le=PAGE_MAX)] = 50, cursor: str | None = None
) -> SessionPage:
    """One page of sessions, the one that was used last first."""
    after = None if cursor is None else _parse(cursor)
    found = await called.store.sessions.list(limit=limit + 1, after=after)
    items = [session_body(one) for one in found[:limit]]
    last = items[-1] if len(found) > limit else None
    return SessionPage(items=items, next_cursor=f"{last.updated_at.isoformat()}~{last.name}" if last else None)


@router.get("/sessions/{name}")
async def get_session(name: str, called: Called) -> SessionBody:
    """One session; what was said in it is in its executions: `GET /v1/executions?session=NAME`."""
    return session_body(await called.store.sessions.get(name))


@router.delete("/sessions/{name}")
async def delete_session(name: str, called: Called) -> DeletedSession:
    """Delete a session with its executions, which must have ended."""
    await called.store.sessions.get(name)
    total = 0
    while ids := await called.store.sessions.read_some(name):
        total += len(await called.store.pruning.delete(ids))
    log.info("session_deleted", session=name, executions=total)
    return DeletedSession(name=name, executions=total)


def _parse(cursor: str) -> tuple[datetime, str]:
    moment, _, name = cursor.partition("~")
    try:
        at = datetime.fromisoformat(moment)
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise RequestError(f"{cursor!r} is not a cursor: take `nextCursor` of the page before")
    return at, name
