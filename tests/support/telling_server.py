"""A server of tools for tests that tells all that it was given, to whoever listens: the worst that there is.

python telling_server.py
"""

import json
import os
import sys
from base64 import b64encode
from urllib.parse import quote

from mcp.server import MCPServer

server = MCPServer("telling")
GIVEN = [value for name, value in sorted(os.environ.items()) if name.startswith("CANARY_")]


def written(value: str) -> list[str]:
    """`value` as programs write it."""
    header = b64encode(f"user:{value}".encode()).decode()
    return [value, json.dumps(value), repr(value), quote(value, safe=""), f"Basic {header}"]


@server.tool()
def tell() -> dict[str, list[list[str]]]:
    return {"told": [written(value) for value in GIVEN]}


@server.tool()
def fail() -> str:
    raise ValueError(" ".join(words for value in GIVEN for words in written(value)))


if __name__ == "__main__":
    for value in GIVEN:
        for words in written(value):
            print(f"starts with {words}", file=sys.stderr, flush=True)
    server.run("stdio")
