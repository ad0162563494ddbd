"""A small server that speaks the chat completions wire: answers each request the same way, and keeps what it got."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Endpoint:
    """Answers with `words`, or with `status` and `body`; `finish` at the end, and `headers` with each answer.

    `pause_s` (or each of `pauses_s`) before each word, with a comment every `keeps_alive_s` if that is set.
    While there are `turns`, each request gets the next one: the deltas of an answer, and its finish reason.
    A request that is longer than `request_bytes_max` is refused before.
    """

    def __init__(self) -> None:  # noqa: C901 (the handler is a class in it)
        self.status = 200
        self.body = ""
        self.headers: dict[str, str] = {}
        self.words: list[str] = []
        self.turns: list[tuple[list[dict[str, object]], str]] = []
        self.request_bytes_max: int | None = None
        self.is_cut = False
        self.finish: str | None = "stop"
        self.pause_s = 0.0
        self.pauses_s: list[float] = []
        self.keeps_alive_s = 0.0
        self.usage: dict[str, object] | None = None
        self.model = "m"
        self.asked: list[dict[str, object]] = []
        self.keys: list[str] = []
        endpoint = self

        class Route(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                endpoint.asked.append(json.loads(body))
                endpoint.keys.append(self.headers["Authorization"])
                if endpoint.request_bytes_max is not None and len(body) > endpoint.request_bytes_max:
                    self._refuse_length()
                    return
                if endpoint.turns:
                    self._turn(*endpoint.turns.pop(0))
                    return
                self._head()
                self.wfile.write(endpoint.body.encode())
                for number, word in enumerate(endpoint.words):
                    self._pause(endpoint.pauses_s[number] if endpoint.pauses_s else endpoint.pause_s)
                    self._event({"delta": {"content": word}, "index": 0, "finish_reason": None})
                if endpoint.words and not endpoint.is_cut:
                    self._end()

            def _refuse_length(self) -> None:
                error = {"message": "your messages have too many tokens", "code": "context_length_exceeded"}
                text = json.dumps({"error": error})
                self.send_response(400)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text.encode())

            def _pause(self, pause_s: float) -> None:
                end_s = time.monotonic() + pause_s
                while endpoint.keeps_alive_s and time.monotonic() < end_s:
                    time.sleep(endpoint.keeps_alive_s)
                    self.wfile.write(b": keep-alive\n\n")
                time.sleep(max(0.0, end_s - time.monotonic()))

            def _turn(self, deltas: list[dict[str, object]], finish: str) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "text/event-stream")
                self.end_headers()
                for delta in deltas:
                    self._event({"delta": delta, "index": 0, "finish_reason": None})
                self._event({"delta": {}, "index": 0, "finish_reason": finish})
                self.wfile.write(b"data: [DONE]\n\n")

            def _end(self) -> None:
                self._event({"delta": {}, "index": 0, "finish_reason": endpoint.finish})
                if endpoint.usage:
                    self._chunk({"choices": [], "usage": endpoint.usage})
                self.wfile.write(b"data: [DONE]\n\n")

            def _head(self) -> None:
                self.send_response(endpoint.status)
                for name, value in endpoint.all_headers().items():
                    self.send_header(name, value)
                self.end_headers()

            def _event(self, choice: dict[str, object]) -> None:
                self._chunk({"choices": [choice]})

            def _chunk(self, fields: dict[str, object]) -> None:
                chunk = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": endpoint.model, **fields}
                self.wfile.write(f"data: {json.dumps(chunk)}\n\n".encode())
                self.wfile.flush()

            def log_message(self, *_arguments: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Route)
        self.port = int(self.http.server_address[1])

    def all_headers(self) -> dict[str, str]:
        """What the next answer is sent with."""
        if not self.words:
            return {"Content-Type": "application/json", "Content-Length": str(len(self.body)), **self.headers}
        cut = {"Content-Length": "100000"} if self.is_cut else {}
        return {"Content-Type": "text/event-stream", **cut, **self.headers}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"


@contextmanager
def model_endpoint() -> Iterator[Endpoint]:
    """One that listens until the end of the block."""
    endpoint = Endpoint()
    thread = threading.Thread(target=endpoint.http.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield endpoint
    finally:
        endpoint.http.shutdown()
        endpoint.http.server_close()
        thread.join()
