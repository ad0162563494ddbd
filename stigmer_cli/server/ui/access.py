"""Access to the web UI: the page that a one-time link opens, the cookie, and the refusal of foreign pages.

guard.py has checked Host, so a page that rebound its name never gets here.
"""

import asyncio
import html
import importlib
import urllib.parse
from collections.abc import Callable

from starlette.datastructures import Headers
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from stigmer_cli.clock import Clock
from stigmer_cli.server.hosts import AllowedHosts
from stigmer_cli.server.ui.sessions import HOME_PATH, LINK_MAX_S, Links, Sessions

ROOT = "/ui"
OPEN_PATH = "/ui/-/open"
END_PATH = "/ui/-/end"
SAFE_METHODS = frozenset({"GET", "HEAD"})
PAGE_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
PAGE = (
    '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Stigmer</title>{head}'
    "<style>body{{font-family:sans-serif;margin:4em}}</style></head><body><p>{body}</p></body></html>"
)
ASK_AGAIN = "Type <code>stigmer ui</code> in a terminal; it opens the web UI, or prints a link that does."


def is_ui(path: str) -> bool:
    """Whether a request for `path` is one for the web UI."""
    return path == ROOT or path.startswith(HOME_PATH)


class UiAccess:
    """ASGI application for everything under /ui. `links` makes the secrets that a link bears."""

    def __init__(
        self, address: str | None, *, hosts: AllowedHosts, token: Callable[[], str | None], clock: Clock, port: int
    ) -> None:
        self.address = address
        self.links = Links(clock)
        self._hosts = hosts
        self._sessions = Sessions(token, clock=clock, port=port)
        self._proxy: ASGIApp | None = None
        self._loading = asyncio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        answer = self._answer(scope)
        if answer is None:
            await (await self._load_proxy())(scope, receive, send)
        else:
            await answer(scope, receive, send)

    def _answer(self, scope: Scope) -> Response | None:
        """What is answered here; None: the UI itself is asked."""
        headers, method = Headers(scope=scope), scope["method"]
        if scope["path"] == OPEN_PATH:
            return self._open(scope, headers)
        if not self._sessions.is_open(headers.getlist("cookie")):
            return _page(401, f'{ASK_AGAIN} If this browser has done so, <a href="">continue</a>.')
        if not is_same_origin(method, headers, self._hosts):
            return _page(403, "Pages of other sites may not use this one.")
        if scope["path"] == END_PATH:
            return self._end(method, headers)
        if self.address is None:
            return _page(404, "The stack runs without Temporal's web UI: <code>stigmer up</code> says why.")
        return RedirectResponse(HOME_PATH, 308) if scope["path"] == ROOT else None

    def _open(self, scope: Scope, headers: Headers) -> Response:
        """Turn a secret into a cookie.

        The page leads on by itself instead of redirecting: a cookie with SameSite=Strict is not sent on a redirect
        that another site's page began, and a terminal in a browser is such a page.
        """
        if scope["method"] != "GET" or not _is_opened_by_a_person(headers):
            return _page(400, "Open this link in a browser.")
        given = urllib.parse.parse_qs(scope["query_string"].decode("latin-1")).get("once", [""])[0]
        path = self.links.redeem(given)
        if path is None and not self._sessions.is_open(headers.getlist("cookie")):
            return _page(403, f"This link was used, or is older than {LINK_MAX_S:.0f} seconds. {ASK_AGAIN}")
        target = html.escape(path or HOME_PATH)
        go = f'<meta http-equiv="refresh" content="0;url={target}">'
        page = _page(200, f'<a href="{target}">Temporal\'s web UI</a>', head=go)
        if path is not None:
            page.headers.append("Set-Cookie", self._sessions.begin(is_tls=scope.get("scheme") == "https"))
        return page

    def _end(self, method: str, headers: Headers) -> Response:
        if method != "POST":
            return _page(200, f'<form method="post" action="{END_PATH}"><button>Log out</button></form>')
        page = _page(200, f"Logged out. {ASK_AGAIN}")
        page.headers.append("Set-Cookie", self._sessions.end(headers.getlist("cookie")))
        return page

    async def _load_proxy(self) -> ASGIApp:
        """The proxy, made when it is first needed: its HTTP client takes a tenth of a second to load."""
        async with self._loading:
            if self._proxy is None:
                module = await asyncio.to_thread(importlib.import_module, "stigmer_cli.server.ui.proxy")
                self._proxy = module.UiProxy(self.address)
        return self._proxy


def is_same_origin(method: str, headers: Headers, hosts: AllowedHosts) -> bool:
    """Whether a request with our cookie was made by a page of ours, or by the person at the browser.

    Cookies know no ports: a page of another server on this machine is of the same *site*, and its requests bear our
    cookie. Sec-Fetch-Site tells them apart (W3C Fetch Metadata); a browser that does not send it sends Origin with
    everything that writes.
    """
    origin, site = headers.get("origin"), headers.get("sec-fetch-site")
    is_hosts_own = (origin or "").partition("://")[2].lower() == headers.get("host", "").lower()
    if origin is not None and not (is_hosts_own or hosts.admits_origin(origin)):
        return False
    is_safe = method in SAFE_METHODS
    if site is None:
        return is_safe or is_hosts_own
    is_navigation = is_safe and headers.get("sec-fetch-mode") == "navigate"
    return site == "same-origin" or is_navigation or (is_safe and site == "none")


def _is_opened_by_a_person(headers: Headers) -> bool:
    """Not fetched ahead by a browser, or drawn into a page: that would use the secret up."""
    ahead = f"{headers.get('sec-purpose', '')} {headers.get('purpose', '')}"
    return "prefetch" not in ahead and headers.get("sec-fetch-dest", "document") == "document"


def _page(status: int, body: str, *, head: str = "") -> Response:
    return HTMLResponse(PAGE.format(head=head, body=body), status, PAGE_HEADERS)
