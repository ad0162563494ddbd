"""Proves to a client that this server holds the token, before the client shows its own."""

from typing import Annotated

from fastapi import APIRouter, Query, Request

from stigmer_cli.server.challenge import ChallengeQuery, Proof, prove
from stigmer_cli.server_proof import PATH

router = APIRouter()


@router.get(PATH)
async def challenge(request: Request, query: Annotated[ChallengeQuery, Query()]) -> Proof:
    """The proof for a nonce at the address that this very connection was made to; on loopback only."""
    return prove(query, name=request.scope.get("server"), token=request.app.state.token())
