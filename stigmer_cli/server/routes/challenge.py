"""Proves to a client that this server holds the token, before the client shows its own."""

from os import getpid
from typing import Annotated

from fastapi import APIRouter, Query, Request

from stigmer_cli.api.wire import Sent
from stigmer_cli.errors import NotFound
from stigmer_cli.server_proof import NONCE_CHARS, PATH, address_of, is_loopback, proof_of

router = APIRouter()


class Proof(Sent):
    """Who answers, and the proof of it (see server_proof.py)."""

    pid: int
    proof: str


@router.get(PATH)
async def challenge(request: Request, nonce: Annotated[str, Query(pattern=f"^[0-9a-f]{{{NONCE_CHARS}}}$")]) -> Proof:
    """The proof for `nonce` at the address that this very connection was made to; on loopback only.

    Elsewhere clients want TLS and never ask, and nobody is given anything to guess a short token with.
    """
    name = request.scope.get("server")
    token = request.app.state.token()
    address, pid = address_of(name) if name else "", getpid()
    if not is_loopback(address.rpartition(":")[0]) or token is None:
        raise NotFound("there is no challenge here", hint="use https:// where the server is not on this machine")
    return Proof(pid=pid, proof=proof_of(token, nonce=nonce, address=address, pid=pid))
