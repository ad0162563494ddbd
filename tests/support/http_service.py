"""A service over HTTP on loopback, whose answers a test says; it keeps what it was asked."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A request that came; the names of headers are in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: str

    @property
    def form(self) -> Mapping[str, str]:
        """The body as a form with one value a name."""
        return {name: values[0] for name, values in parse_qs(self.body).items()}

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What is answered: JSON, or parts of a body that are sent one by one."""

    status: int = 200
    data: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    parts: Iterable[bytes] | None = None


@dataclass(kw_only=True)
class Service:
    """`address` has no slash at its end."""

    address: str
    asked: list[Asked] = field(default_factory=list)

    def list_paths(self) -> list[str]:
        return [f"{request.method} {request.path}" for request in self.asked]


@contextmanager
def serve(answer: Callable[[Asked], Answer]) -> Iterator[Service]:
    """A service that runs until the context ends."""

    class Handler(BaseHTTPRequestHandler):
        def _respond(self) -> None:
            asked = Asked(
                method=self.command,
                path=self.path,
                headers={name.lower(): value for name, value in self.headers.items()},
                body=self.rfile.read(int(self.headers.get("Content-Length", 0))).decode(),
            )
            service.asked.append(asked)
            given = answer(asked)
            self.send_response(given.status)
            content = b"" if given.data is None else json.dumps(given.data).encode()
            headers = {"Content-Type": "application/json", **given.headers}
            for name, value in headers.items():
                self.send_header(name, value)
            if given.parts is None:
                self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            try:
                for part in [content] if given.parts is None else given.parts:
                    self.wfile.write(part)
                    self.wfile.flush()
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True

        do_GET = do_POST = do_PUT = do_DELETE = _respond  # noqa: N815 - as the library calls them

        def log_message(self, *_arguments: object) -> None:
            """Nothing."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128

    server = Server(("127.0.0.1", 0), Handler)
    service = Service(address=f"http://127.0.0.1:{server.server_address[1]}")
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield service
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
