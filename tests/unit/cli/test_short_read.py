"""A short read raises what a problem says; only what cannot be understood is asked again by the client."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from stigmer_cli.api.listed import read_agent
from stigmer_cli.api.problem import problem_of
from stigmer_cli.cli.context import Cli
from stigmer_cli.cli.short_read import read_page
from stigmer_cli.clock import SystemClock
from stigmer_cli.errors import Refused, ServerBusy, StigmerError
from tests.support.proof import proof_for

TOKEN = "t0ken"


@contextmanager
def answering(status: int, body: object) -> Iterator[str]:
    """The URL of a server that answers everything so."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            if proof := proof_for(self.requestline.encode(), self.connection.getsockname(), TOKEN):
                self.wfile.write(proof)
                return
            sent = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(sent)))
            self.end_headers()
            self.wfile.write(sent)

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def cli_for(url: str, home: Path) -> Cli:
    environ = {"STIGMER_SERVER_URL": url, "STIGMER_TOKEN": TOKEN, "STIGMER_HOME": str(home)}
    return Cli(environ=environ, user_home=home, clock=SystemClock())


@pytest.mark.parametrize(
    "error", [ServerBusy("too many requests", retry_after_s=2.0), Refused("the token is another one")]
)
def test_a_problem_is_raised_and_not_asked_for_again(error: StigmerError, tmp_path: Path) -> None:
    body = problem_of(error).model_dump(mode="json", by_alias=True)
    with answering(error.status, body) as url, pytest.raises(type(error), match=error.message):
        read_page(cli_for(url, tmp_path), "/v1/agents", {}, read_agent, limit=50)


@pytest.mark.parametrize(("status", "body"), [(502, {"error": "bad gateway"}), (200, {"items": 3}), (200, [])])
def test_what_cannot_be_understood_is_left_to_the_client(status: int, body: object, tmp_path: Path) -> None:
    with answering(status, body) as url:
        assert read_page(cli_for(url, tmp_path), "/v1/agents", {}, read_agent, limit=50) is None
