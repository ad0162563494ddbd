"""The hosts that the kit calls, on loopback: the pet store and httpbin, as far as it uses them."""

import base64
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

import httpx

HOST = "X-Stubbed-Host"
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


class _Handler(BaseHTTPRequestHandler):
    def _respond(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        status, body = _answer(self.headers[HOST], self.path, self.headers.get("Authorization", ""))
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = _respond  # noqa: N815 - as the library calls them

    def log_message(self, *_arguments: object) -> None:
        """Nothing."""


class _ToLoopback(httpx.AsyncBaseTransport):
    """Sends each request to the stub, which is told the host that it was for."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._inner = httpx.AsyncHTTPTransport()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        url = request.url.copy_with(scheme="http", host="127.0.0.1", port=self._port)
        headers = [*request.headers.raw, (HOST.encode(), request.url.host.encode())]
        return await self._inner.handle_async_request(
            httpx.Request(request.method, url, headers=headers, stream=request.stream, extensions=request.extensions)
        )

    async def aclose(self) -> None:
        await self._inner.aclose()


@contextmanager
def stubbed_hosts() -> Iterator[httpx.AsyncBaseTransport]:
    """A transport that takes every request to the stub."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield _ToLoopback(server.server_address[1])
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
