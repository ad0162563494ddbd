"""Who this server is, for runners and commands that must not take another one for it."""

from typing import Annotated

from fastapi import APIRouter, Query

from stigmer_cli.api.identity import Identity
from stigmer_cli.server.identity import IdentityQuery, describe_identity
from stigmer_cli.server.routes.called import Called

router = APIRouter()


@router.get("/v1/identity")
async def identity(called: Called, query: Annotated[IdentityQuery, Query()]) -> Identity:
    """The server, its store, the Temporal it is connected to, and the task queues that its runners poll.

    A runner says with it how many of its slots are taken.
    """
    return await describe_identity(called, query)
