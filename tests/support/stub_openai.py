"""A server on this machine that answers as OpenAI does, and keeps the keys that it was shown."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

WORDS = ("the ", "answer")


class Models:
    """Every request is answered with `WORDS`; `keys` are the Authorization headers in their order."""

    def __init__(self) -> None:
        self.keys: list[str] = []
        models = self

        class Route(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                models.keys.append(self.headers["Authorization"])
                self.send_response(200)
                self.send_header("Content-Type", "text/event-stream")
                self.end_headers()
                for word in WORDS:
                    self._event({"delta": {"content": word}, "index": 0, "finish_reason": None})
                self._event({"delta": {}, "index": 0, "finish_reason": "stop"})
                self.wfile.write(b"data: [DONE]\n\n")

            def _event(self, choice: dict[str, object]) -> None:
                chunk = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
                self.wfile.write(f"data: {json.dumps(chunk)}\n\n".encode())

            def log_message(self, *_arguments: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Route)

    @property
    def url(self) -> str:
        """What `OPENAI_BASE_URL` is set to."""
        return f"http://127.0.0.1:{self.http.server_address[1]}/v1"


@contextmanager
def answering() -> Iterator[Models]:
    """A server of its own for as long as the block runs."""
    models = Models()
    thread = threading.Thread(target=models.http.serve_forever, name="models")
    thread.start()
    try:
        yield models
    finally:
        models.http.shutdown()
        models.http.server_close()
        thread.join()
