"""Proves to a client that this server holds the token, before the client shows its own."""

from os import getpid

from pydantic import BaseModel, Field

from stigmer_cli.api.wire import Sent
from stigmer_cli.errors import NotFound
from stigmer_cli.server_proof import NONCE_CHARS, address_of, is_loopback, proof_of


class ChallengeQuery(BaseModel):
    """What a client wants to have proven: something that it has just made up."""

    nonce: str = Field(pattern=f"^[0-9a-f]{{{NONCE_CHARS}}}$")


class Proof(Sent):
    """Who answers, and the proof of it (see server_proof.py)."""

    pid: int
    proof: str


def prove(query: ChallengeQuery, *, name: tuple[str, int] | None, token: str | None) -> Proof:
    """The proof at the address `name` that this very connection was made to; on loopback only.

    Raises NotFound elsewhere: there clients want TLS and never ask, and nobody is given anything to guess a short
    token with.
    """
    address, pid = address_of(name) if name else "", getpid()
    if not is_loopback(address.rpartition(":")[0]) or token is None:
        raise NotFound("there is no challenge here", hint="use https:// where the server is not on this machine")
    return Proof(pid=pid, proof=proof_of(token, nonce=query.nonce, address=address, pid=pid))
