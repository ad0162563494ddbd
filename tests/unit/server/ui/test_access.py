"""Who comes as far as the web UI: a browser of ours, on a page of ours."""

import json
from collections.abc import Mapping

import httpx
import pytest
from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

from stigmer_cli.server.guard import Guard
from stigmer_cli.server.hosts import AllowedHosts
from stigmer_cli.server.ui.access import UiAccess, is_same_origin
from tests.support.fakes import ManualClock

TOKEN = "right"
CODESPACE = "cat-7234.app.github.dev"
HOSTS = AllowedHosts(7234, [CODESPACE])
OWN = "http://127.0.0.1:7234"


class Harness:
    """A guard with a door behind which an application says what it was asked."""

    def __init__(self, *, address: str | None = "127.4.5.6:20001") -> None:
        self.reached: list[str] = []
        self.access = UiAccess(address, hosts=HOSTS, token=lambda: TOKEN, clock=ManualClock(), port=7234)
        self.access._proxy = self._ui
        transport = httpx.ASGITransport(Guard(self._api, hosts=HOSTS, token=lambda: TOKEN, pages=self.access))
        self.browser = httpx.AsyncClient(transport=transport, base_url=OWN)

    async def open(self) -> httpx.Response:
        """What a browser gets for a fresh link; it keeps the cookie."""
        return await self.browser.get(f"/ui/-/open?once={self.access.links.make('/ui/a?b=1&c=2')}")

    async def get(self, path: str, headers: Mapping[str, str] | None = None, method: str = "GET") -> int:
        return (await self.browser.request(method, path, headers=headers)).status_code

    async def _ui(self, scope: Scope, _receive: Receive, send: Send) -> None:
        self.reached.append(f"{scope['method']} {scope['path']}")
        await _say(send, "ui")

    async def _api(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        await _say(send, "api")


async def _say(send: Send, what: str) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": json.dumps(what).encode()})


async def test_without_a_cookie_the_page_says_how_to_get_one() -> None:
    harness = Harness()
    for path in ("/ui", "/ui/", "/ui/api/v1/namespaces", "/ui/-/end"):
        answer = await harness.browser.get(path)
        assert answer.status_code == 401
        assert "stigmer ui" in answer.text
    assert await harness.get("/ui/", {"authorization": "Bearer right"}) == 401, "the token is for the API"
    assert harness.reached == []


async def test_the_link_gives_a_cookie_and_leads_on_without_a_trace_of_the_secret() -> None:
    harness = Harness()
    opened = await harness.open()
    assert opened.status_code == 200
    assert '<meta http-equiv="refresh" content="0;url=/ui/a?b=1&amp;c=2">' in opened.text
    assert "once=" not in opened.text
    assert (opened.headers["referrer-policy"], opened.headers["cache-control"]) == ("no-referrer", "no-store")
    assert opened.headers["x-frame-options"] == "DENY"
    assert await harness.get("/ui/") == 200
    assert harness.reached == ["GET /ui/"]


async def test_the_cookie_opens_the_ui_and_not_the_api() -> None:
    harness = Harness()
    await harness.open()
    assert await harness.get("/v1/executions") == 401
    assert await harness.get("/uix") == 401
    assert (await harness.browser.get("/ui")).headers["location"] == "/ui/"


async def test_a_link_that_was_used_leads_only_a_browser_that_is_in_already() -> None:
    harness = Harness()
    path = f"/ui/-/open?once={harness.access.links.make()}"
    assert await harness.get(path) == 200
    assert await harness.get(path) == 200
    harness.browser.cookies.clear()
    used = await harness.browser.get(path)
    assert used.status_code == 403
    assert "set-cookie" not in used.headers


@pytest.mark.parametrize(
    "headers",
    [{"sec-purpose": "prefetch;prerender"}, {"purpose": "prefetch"}, {"sec-fetch-dest": "image"}],
)
async def test_who_only_looks_ahead_does_not_use_the_link_up(headers: dict[str, str]) -> None:
    harness = Harness()
    path = f"/ui/-/open?once={harness.access.links.make()}"
    assert await harness.get(path, headers) == 400
    assert await harness.get(path, method="HEAD") == 400
    assert await harness.get(path) == 200


async def test_another_host_gets_nothing_with_a_cookie_either() -> None:
    harness = Harness()
    link = f"/ui/-/open?once={harness.access.links.make()}"
    await harness.open()
    cookie = "; ".join(f"{name}={value}" for name, value in harness.browser.cookies.items())
    foreign = {"host": "evil.example:7234", "cookie": cookie}
    assert await harness.get("/ui/", foreign) == 421
    assert await harness.get(link, foreign) == 421
    assert harness.reached == []


async def test_a_forwarded_name_that_was_listed_is_let_in() -> None:
    harness = Harness()
    browser = httpx.AsyncClient(transport=harness.browser._transport, base_url=f"https://{CODESPACE}")
    await browser.get(f"/ui/-/open?once={harness.access.links.make()}")
    headers = {"origin": f"https://{CODESPACE}", "sec-fetch-site": "same-origin"}
    assert (await browser.post("/ui/api/v1/x", headers=headers)).status_code == 200


async def test_a_post_logs_out_and_a_get_asks_first() -> None:
    harness = Harness()
    await harness.open()
    assert '<form method="post"' in (await harness.browser.get("/ui/-/end")).text
    assert await harness.get("/ui/") == 200
    assert await harness.get("/ui/-/end", {"sec-fetch-site": "same-site"}, "POST") == 403
    assert await harness.get("/ui/-/end", {"sec-fetch-site": "same-origin"}, "POST") == 200
    assert await harness.get("/ui/") == 401


async def test_a_stack_without_a_ui_says_so() -> None:
    harness = Harness(address=None)
    await harness.open()
    assert await harness.get("/ui/") == 404


@pytest.mark.parametrize(
    ("method", "headers", "is_ours"),
    [
        ("GET", {}, True),
        ("GET", {"sec-fetch-site": "none"}, True),
        ("GET", {"sec-fetch-site": "same-origin"}, True),
        ("GET", {"sec-fetch-site": "same-site", "sec-fetch-mode": "navigate"}, True),
        ("GET", {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}, True),
        ("GET", {"sec-fetch-site": "same-site", "sec-fetch-mode": "no-cors"}, False),
        ("GET", {"sec-fetch-site": "cross-site", "sec-fetch-mode": "cors"}, False),
        ("GET", {"origin": "http://127.0.0.1:3000"}, False),
        ("GET", {"origin": "null"}, False),
        ("POST", {}, False),
        ("POST", {"origin": OWN}, True),
        ("POST", {"origin": "http://localhost:7234"}, False),
        ("POST", {"origin": "http://127.0.0.1:3000"}, False),
        ("POST", {"origin": "null"}, False),
        ("POST", {"origin": OWN, "sec-fetch-site": "same-origin"}, True),
        ("POST", {"origin": f"https://{CODESPACE}", "sec-fetch-site": "same-origin"}, True),
        ("POST", {"origin": "http://evil.example", "sec-fetch-site": "same-origin"}, False),
        ("POST", {"origin": OWN, "sec-fetch-site": "same-site"}, False),
        ("POST", {"sec-fetch-site": "none"}, False),
        ("POST", {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}, False),
        ("POST", {"host": "10.0.0.5:7234", "origin": "http://10.0.0.5:7234", "sec-fetch-site": "same-origin"}, True),
        ("POST", {"host": "10.0.0.5:7234", "origin": "http://10.0.0.5:7234"}, True),
        ("POST", {"host": "10.0.0.5:7234", "origin": "http://10.0.0.6:7234"}, False),
        ("DELETE", {"sec-fetch-site": "same-site", "sec-fetch-mode": "navigate"}, False),
    ],
)
def test_only_pages_of_ours_and_the_person_at_the_browser_use_the_cookie(
    method: str, headers: dict[str, str], is_ours: object
) -> None:
    assert is_same_origin(method, Headers({"host": "127.0.0.1:7234", **headers}), HOSTS) is is_ours
