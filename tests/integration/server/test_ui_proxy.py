"""The proxy to the web UI, before a server that says what reached it: little goes in, little comes out."""

import json
import threading
from collections.abc import AsyncIterator, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

from stigmer_cli.server.ui import proxy
from stigmer_cli.server.ui.proxy import UiProxy
from stigmer_cli.supervisor.process import IS_LINUX

DRAWN = "127.77.3.4" if IS_LINUX else "127.0.0.1"


class _Ui(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        size = int(self.headers.get("Content-Length", "0"))
        seen = {
            "from": self.client_address[0],
            "line": f"{self.command} {self.path}",
            "headers": {name.lower(): value for name, value in self.headers.items()},
            "body": self.rfile.read(size).decode(),
        }
        content = json.dumps(seen).encode()
        if self.path.startswith("/ui/large"):
            content = b"x" * 100_000
        self.send_response(302 if "to=" in self.path else 200)
        if "to=" in self.path:
            self.send_header("Location", self.path.partition("to=")[2])
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("ETag", '"7"')
        self.send_header("Set-Cookie", "_csrf=1")
        self.send_header("Access-Control-Allow-Origin", "*")
        self.send_header("Content-Security-Policy", "default-src *")
        self.end_headers()
        self.wfile.write(content)

    do_POST = do_GET  # noqa: N815 - the base class looks for this name

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - its name in the base class
        """Silent."""


@pytest.fixture
def address() -> Iterator[str]:
    server = ThreadingHTTPServer((DRAWN, 0), _Ui)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"{DRAWN}:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
async def browser(address: str) -> AsyncIterator[httpx.AsyncClient]:
    ui = UiProxy(address)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(ui), base_url="http://127.0.0.1:7234") as one:
        yield one
    await ui._http.aclose()


async def test_only_what_the_ui_needs_reaches_it(browser: httpx.AsyncClient, address: str) -> None:
    given = {
        "Accept": "text/html",
        "Accept-Encoding": "identity",
        "Content-Type": "application/json",
        "Caller-Type": "operator",
        "Cookie": "stigmer_ui_7234=secret",
        "Authorization": "Bearer secret",
        "Authorization-Extras": "secret",
        "Origin": "http://127.0.0.1:7234",
        "Referer": "http://127.0.0.1:7234/ui/",
        "X-Forwarded-For": "1.2.3.4",
        "X-CSRF-Token": "secret",
        "User-Agent": "me",
    }
    answer = await browser.post("/ui/api/v1/x", headers=given, content=b'{"a": 1}')
    assert answer.json() == {
        "from": DRAWN,
        "line": "POST /ui/api/v1/x",
        "headers": {
            "accept": "text/html",
            "accept-encoding": "identity",
            "content-type": "application/json",
            "caller-type": "operator",
            "sec-fetch-site": "same-origin",
            "host": address,
            "content-length": "8",
        },
        "body": '{"a": 1}',
    }


async def test_a_path_arrives_as_it_was_written(browser: httpx.AsyncClient) -> None:
    path = "/ui/api/v1/workflows/stigmer%2Fagent-execution%2Finvoke%2Faex-1?query=a%20%3D%20%22b%22&next="
    assert (await browser.get(path)).json()["line"] == f"GET {path}"


async def test_only_what_a_page_needs_comes_back(browser: httpx.AsyncClient) -> None:
    answer = await browser.get("/ui/")
    assert "set-cookie" not in answer.headers
    assert "access-control-allow-origin" not in answer.headers
    assert "server" not in answer.headers
    assert answer.headers["etag"] == '"7"'
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers.get_list("content-security-policy") == [proxy.POLICY.decode()]


@pytest.mark.parametrize(
    ("where", "location"),
    [("/ui/a", "/ui/a"), ("//evil.example/", None), ("http://evil.example/ui/", None), ("/api/v1", None)],
)
async def test_a_redirect_leads_to_the_ui_or_nowhere(
    browser: httpx.AsyncClient, where: str, location: str | None
) -> None:
    assert (await browser.get(f"/ui/?to={where}")).headers.get("location") == location


async def test_a_body_that_is_too_long_goes_no_further(browser: httpx.AsyncClient) -> None:
    assert (await browser.post("/ui/x", content=b"x" * proxy.BODY_MAX)).status_code == 200
    assert (await browser.post("/ui/x", content=b"x" * (proxy.BODY_MAX + 1))).status_code == 413


async def test_an_answer_that_is_too_long_breaks_off(
    browser: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len((await browser.get("/ui/large")).content) == 100_000
    monkeypatch.setattr(proxy, "ANSWER_MAX", 99_999)
    with pytest.raises(httpx.ReadError, match="more than 99999 bytes"):
        await browser.get("/ui/large")


async def test_a_ui_that_is_away_is_a_bad_gateway() -> None:
    away = UiProxy(f"{DRAWN}:1")
    async with httpx.AsyncClient(transport=httpx.ASGITransport(away), base_url="http://127.0.0.1:7234") as one:
        answer = await one.get("/ui/")
    assert (answer.status_code, answer.text) == (502, "Temporal's web UI does not answer: stigmer doctor")
    await away._http.aclose()
