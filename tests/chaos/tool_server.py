"""The tools of a chaos run: an MCP server that appends a line to the ledger of effects before it answers a call.

python tool_server.py LEDGER          over standard input and output
python tool_server.py LEDGER PORT     streamable HTTP, without sessions; PUT and POST to /effects for workflows

It uses the standard library alone, so that it starts in a few hundredths of a second: the runner starts one for each
attempt of an agent that has it as a command.
"""

import json
import os
import sys
import time
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

KEY = "stigmer/idempotency-key"
HEADER = "Idempotency-Key"
EFFECTS = "/effects"
VERSION = "2025-06-18"
NO_SUCH_METHOD = -32_601
TEXT = {"type": "object", "properties": {"text": {"type": "string"}, "seconds": {"type": "number"}}}
HINTS: Mapping[str, Mapping[str, bool]] = {
    "read": {"readOnlyHint": True},
    "put": {"readOnlyHint": False, "idempotentHint": True},
    "send": {},
    "refuse": {},
}
"""Each tool, and what it says about itself: `send` and `refuse` say nothing, so that their effect is `once`."""


def perform(tool: str, arguments: Mapping[str, Any], key: str) -> dict[str, Any]:
    """Have the effect, which is the line, on the disk, and answer some `seconds` later."""
    text = str(arguments.get("text", ""))
    line = json.dumps({"tool": tool, "text": text, "key": key, "at_s": time.time()}) + "\n"
    file = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(file, line.encode())  # O_APPEND and one write: lines of two servers never mix
    os.close(file)
    time.sleep(float(arguments.get("seconds", 0)))
    return {"content": [{"type": "text", "text": f"{tool} {text}"}], "isError": tool == "refuse"}


def answer(message: Mapping[str, Any]) -> dict[str, Any] | None:
    """The answer to a message; None where it wants none."""
    if "id" not in message or "method" not in message:
        return None
    parameters = message.get("params") or {}
    result: dict[str, Any]
    match message["method"]:
        case "initialize":
            own = {"name": "chaos", "version": "1"}
            result = {"protocolVersion": VERSION, "capabilities": {"tools": {}}, "serverInfo": own}
        case "ping":
            result = {}
        case "tools/list":
            result = {
                "tools": [
                    {"name": name, "inputSchema": TEXT, **({"annotations": hints} if hints else {})}
                    for name, hints in HINTS.items()
                ]
            }
        case "tools/call":
            key = str((parameters.get("_meta") or {}).get(KEY, ""))
            result = perform(parameters["name"], parameters.get("arguments") or {}, key)
        case method:
            error = {"code": NO_SUCH_METHOD, "message": f"no method {method}"}
            return {"jsonrpc": "2.0", "id": message["id"], "error": error}
    return {"jsonrpc": "2.0", "id": message["id"], "result": result}


class Calls(BaseHTTPRequestHandler):
    """Each message is a request of its own, with its answer as JSON."""

    protocol_version = "HTTP/1.1"
    refused: ClassVar[set[str]] = set()
    """The keys of the calls of workflows that asked to be refused, and were."""

    disable_nagle_algorithm = True  # or the second part of an answer waits 40 ms for an acknowledgement of the first

    def do_POST(self) -> None:
        """A message, or a call of a workflow."""
        if self.path == EFFECTS:
            self._perform("post")
            return
        body = self.rfile.read(int(self.headers["Content-Length"]))
        found = answer(json.loads(body))
        self._respond(202 if found is None else 200, b"" if found is None else json.dumps(found).encode())

    def do_PUT(self) -> None:
        """A call of a workflow, which may be repeated."""
        self._perform("put")

    def _perform(self, tool: str) -> None:
        arguments = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        key = self.headers.get(HEADER, "")
        said = perform(tool, arguments, key)["content"][0]["text"]
        is_refused = bool(arguments.get("refuses")) and key not in self.refused
        self.refused.add(key)
        self._respond(503 if is_refused else 200, json.dumps({"said": said}).encode())

    def do_GET(self) -> None:
        """A stream for messages of the server, which has none."""
        self._respond(405, b"")

    do_DELETE = do_GET  # noqa: N815 - as the library calls it

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as above
        """Nothing."""

    def _respond(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Server(ThreadingHTTPServer):
    """One thread a connection; its port can be taken again at once."""

    daemon_threads = True
    request_queue_size = 128


def main() -> None:
    """Serve until killed, or until the input ends."""
    if len(sys.argv) > 2:
        Server(("127.0.0.1", int(sys.argv[2])), Calls).serve_forever()
    for line in sys.stdin:
        found = answer(json.loads(line))
        if found is not None:
            print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
