"""A server of one tool over HTTP, which speaks the protocol by hand and refuses or breaks what a test says."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


class HttpToolServer:
    """Refuses the methods in `refuse` with their status; answers a call with `instead`, if that is set.

    `instead` is a status, a body and its content type; an `id` of null in the body becomes that of the call.
    With `busy_s` it refuses calls for so long from the next one on, and asks to wait for `retry_after` seconds.
    """

    def __init__(self) -> None:
        self.refuse: dict[str, int] = {}
        self.instead: tuple[int, bytes, str] | None = None
        self.busy_s = 0.0
        self.retry_after = "1"
        self._free_at_s = 0.0
        self.known = 0
        """The session that it knows, by its number."""
        self.calls = 0
        outer = self

        class Answering(BaseHTTPRequestHandler):
            def log_message(self, *_: object) -> None:
                pass

            def do_GET(self) -> None:
                self._send(405)

            def do_DELETE(self) -> None:
                self._send(200)

            def do_POST(self) -> None:
                asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
                outer.answer(asked, self.headers.get("mcp-session-id"), self._send)

            def _send(self, status: int, body: bytes = b"", kind: str = "application/json", **headers: str) -> None:
                self.send_response(status)
                for name, value in {"content-type": kind, "content-length": len(body), **headers}.items():
                    self.send_header(name, str(value))
                self.end_headers()
                self.wfile.write(body)

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}/mcp"

    @contextmanager
    def running(self) -> Iterator[Self]:
        thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield self
        finally:
            self.server.shutdown()
            self.server.server_close()
            thread.join()

    def answer(self, asked: dict[str, Any], session: str | None, send: Any) -> None:
        method, id_ = asked["method"], asked.get("id")
        self.calls += method == "tools/call"
        if method in self.refuse:
            send(self.refuse[method])
        elif method == "initialize":
            self.known += 1
            version = asked["params"]["protocolVersion"]
            info = {"name": "http", "version": "1"}
            result = {"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": info}
            send(200, _result(id_, result), **{"mcp-session-id": str(self.known)})
        elif id_ is None:
            send(202)
        elif session != str(self.known):
            self.calls -= method == "tools/call"
            send(404)
        elif method == "tools/list":
            send(200, _result(id_, {"tools": [{"name": "send", "inputSchema": {}}]}))
        elif self._is_busy():
            send(429, **{"retry-after": self.retry_after})
        elif self.instead is not None:
            status, body, kind = self.instead
            send(status, body.replace(b'"id": null', f'"id": {json.dumps(id_)}'.encode()), kind or "application/json")
        else:
            send(200, _result(id_, {"content": [{"type": "text", "text": "sent"}]}))

    def _is_busy(self) -> bool:
        if self.busy_s:
            self._free_at_s, self.busy_s = time.monotonic() + self.busy_s, 0.0
        return time.monotonic() < self._free_at_s


def _result(id_: object, result: object) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": id_, "result": result}).encode()
