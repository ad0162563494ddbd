"""The hosts that the kit calls, on loopback: the pet store and httpbin, as far as it uses them.

They are behind a proxy, to which a stack is led by its environment alone: nothing of it is changed.
"""

import base64
import json
import re
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock, Thread
from typing import Any, cast
from urllib.parse import urlsplit

from tests.support.tls import Authority

PETS: dict[int, dict[str, Any]] = {
    number: {"id": number, "name": f"pet {number}", "status": "available", "photoUrls": [], "tags": []}
    for number in (1, 2, 3)
}

SWAGGER = {
    "swagger": "2.0",
    "info": {"title": "Pet store", "version": "1"},
    "host": "petstore.swagger.io",
    "basePath": "/v2",
    "schemes": ["https", "http"],
    "paths": {
        "/pet/{petId}": {
            "get": {
                "operationId": "getPetById",
                "parameters": [{"name": "petId", "in": "path", "required": True, "type": "integer"}],
            }
        },
        "/pet/findByStatus": {
            "get": {
                "operationId": "findPetsByStatus",
                "parameters": [{"name": "status", "in": "query", "required": True, "type": "array"}],
            }
        },
    },
}


def _answer(host: str, target: str, authorization: str) -> tuple[int, Any]:
    path = urlsplit(target).path
    if host == "petstore.swagger.io" and path == "/v2/swagger.json":
        return 200, SWAGGER
    if host == "petstore.swagger.io" and path == "/v2/pet/findByStatus":
        return 200, list(PETS.values())
    if host == "petstore.swagger.io" and (found := re.fullmatch(r"/v2/pet/(\d+)", path)):
        pet = PETS.get(int(found[1]))
        return (200, pet) if pet else (404, {"message": "Pet not found"})
    if host == "httpbin.org" and (found := re.fullmatch(r"/basic-auth/([^/]+)/([^/]+)", path)):
        wanted = base64.b64encode(f"{found[1]}:{found[2]}".encode()).decode()
        return (200, {"authenticated": True}) if authorization == f"Basic {wanted}" else (401, {})
    return 404, {"message": f"{host} has no {path}"}


class _Proxy(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.authority = Authority(folder)
        self._contexts: dict[str, ssl.SSLContext] = {}
        self._lock = Lock()

    def context_of(self, host: str) -> ssl.SSLContext:
        """What `host` shows to who asks it over TLS."""
        with self._lock:
            if host not in self._contexts:
                pair = self.authority.issue(host, host)
                context = self._contexts[host] = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                context.load_cert_chain(pair.cert, pair.key)
            return self._contexts[host]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    tunnelled_to = ""

    def do_CONNECT(self) -> None:
        """Be the host that is asked for."""
        host = self.path.rpartition(":")[0]
        self.send_response(200)
        self.end_headers()
        context = cast("_Proxy", self.server).context_of(host)
        self.connection = context.wrap_socket(self.connection, server_side=True)
        self.rfile, self.wfile = self.connection.makefile("rb"), self.connection.makefile("wb", buffering=0)
        self.tunnelled_to = host
        self.close_connection = False

    def _respond(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        host = self.tunnelled_to or urlsplit(self.path).hostname or ""
        status, body = _answer(host, self.path, self.headers.get("Authorization", ""))
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = _respond  # noqa: N815 - as the library calls them

    def log_message(self, *_arguments: object) -> None:
        """Nothing."""


@contextmanager
def stubbed_hosts(folder: Path) -> Iterator[Mapping[str, str]]:
    """The environment in which every request goes to the stubs; their certificates are kept in `folder`."""
    server = _Proxy(folder)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    address = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield {"HTTP_PROXY": address, "HTTPS_PROXY": address, "SSL_CERT_FILE": str(server.authority.file)}
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
