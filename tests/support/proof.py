"""What a stand-in for a server has to answer before a client of ours tells it anything."""

import json
import os
from urllib.parse import parse_qs, urlsplit

from stigmer_cli.server_proof import PATH, address_of, proof_of


def proof_for(head: bytes, name: tuple[str, int], token: str) -> bytes | None:
    """The answer to a challenge in the request `head` that came to a socket called `name`; None where it asks none."""
    target = urlsplit(head.split()[1].decode())
    if target.path != PATH:
        return None
    (nonce,) = parse_qs(target.query)["nonce"]
    proof = proof_of(token, nonce=nonce, address=address_of(name), pid=os.getpid())
    body = json.dumps({"pid": os.getpid(), "proof": proof}).encode()
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
