"""A server of tools for tests: it appends each call to a file, with its idempotency key, before it answers.

python ledger_server.py LEDGER          over standard input and output
python ledger_server.py LEDGER PORT     over HTTP
"""

import asyncio
import json
import os
import sys
import time
from pathlib import Path

from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from mcp_types import ToolAnnotations

LEDGER = Path(sys.argv[1])
server = MCPServer("ledger")


def enter(tool: str, what: object, context: Context) -> None:
    """One line, in one write, on the disk before anything else happens."""
    meta = context.request_context.meta or {}
    line = json.dumps({"tool": tool, "what": what, "key": meta.get("stigmer/idempotency-key"), "pid": os.getpid()})
    with LEDGER.open("a") as file:
        file.write(line + "\n")
        file.flush()
        os.fsync(file.fileno())


@server.tool()
def send(text: str, context: Context) -> str:
    """Says nothing about itself: calling it twice sends twice."""
    enter("send", text, context)
    return f"sent {text}"


@server.tool(annotations=ToolAnnotations(read_only_hint=True))
def read(name: str, context: Context) -> str:
    enter("read", name, context)
    return f"content of {name}"


@server.tool(annotations=ToolAnnotations(read_only_hint=False, idempotent_hint=True))
def put(name: str, context: Context) -> dict[str, str]:
    enter("put", name, context)
    return {"put": name}


@server.tool(annotations=ToolAnnotations(read_only_hint=True))
async def wait(seconds: float, context: Context) -> str:
    enter("wait", seconds, context)
    await asyncio.sleep(seconds)
    return "waited"


@server.tool()
async def send_slowly(text: str, seconds: float, context: Context) -> str:
    enter("send_slowly", text, context)
    await asyncio.sleep(seconds)
    return f"sent {text} slowly"


@server.tool(annotations=ToolAnnotations(read_only_hint=True))
def crash_once(context: Context) -> str:
    """Dies at its first call, as the ledger tells."""
    is_first = '"crash_once"' not in LEDGER.read_text()
    enter("crash_once", None, context)
    if is_first:
        print("the ledger is on fire", file=sys.stderr, flush=True)
        time.sleep(0.05)
        os._exit(3)
    return "survived"


@server.tool()
def crash(context: Context) -> str:
    enter("crash", None, context)
    os._exit(3)


@server.tool()
def refuse(context: Context) -> str:
    enter("refuse", None, context)
    raise ValueError("this tool never works")


@server.tool(annotations=ToolAnnotations(read_only_hint=True))
def environment() -> list[str]:
    return sorted(os.environ)


if __name__ == "__main__":
    LEDGER.touch()
    print("the ledger is open, key sk-secretsecretsecret", file=sys.stderr, flush=True)
    if len(sys.argv) > 2:
        server.run("streamable-http", host="127.0.0.1", port=int(sys.argv[2]))
    else:
        server.run("stdio")
