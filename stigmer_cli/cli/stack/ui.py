"""`stigmer ui`: opens Temporal's web UI in a browser, or prints its link."""

import sys
import webbrowser
from collections.abc import Mapping
from urllib.parse import quote

from stigmer_cli.cli.context import Cli
from stigmer_cli.cli.execution_id import resolve_id
from stigmer_cli.cli.output import Format
from stigmer_cli.client import Client
from stigmer_cli.errors import ConfigError
from stigmer_cli.time_format import span

SCREENS = ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")
TEXT_BROWSERS = frozenset({"www-browser", "links", "elinks", "lynx", "w3m"})
"""What `webbrowser` falls back on in a terminal. The web UI is empty without scripts, and the link would be used up."""


def open_ui(cli: Cli, execution: str | None, *, at: str | None, is_printed: bool) -> None:
    """Open the page of `execution`, or the first page, at the address `at`; or print its link.

    Raises ConfigError if `at` is no URL.
    """
    if at is not None and not at.startswith(("http://", "https://")):
        raise ConfigError(f"--at {at}: not an http:// or https:// URL", hint="stigmer ui --at https://NAME")

    name = None if execution is None else resolve_id(cli, execution)

    async def make_link(client: Client) -> tuple[str, float]:
        link = await client.make_ui_link(await _find_page(client, cli, name))
        return f"{(at or client.base_url).rstrip('/')}{link.path}", link.expires_in_s

    url, expires_in_s = cli.call(make_link)
    is_opened = not is_printed and cli.out.format is Format.TABLE and _open_browser(url, cli.environ)
    data = {"url": url, "expiresInS": expires_in_s}
    if is_opened:
        cli.out.note("opened in your browser; if nothing appears: stigmer ui --print")
    else:
        cli.out.result(data, lambda console: console.print(url, soft_wrap=True))
        cli.out.note(f"the link works once, for {span(expires_in_s)}")


async def _find_page(client: Client, cli: Cli, name: str | None) -> str:
    if name is None:
        return "/ui/"
    found = (await client.execution(name)).status.dispatch
    namespace = quote(cli.load_settings().temporal_namespace, safe="")
    page = f"/ui/namespaces/{namespace}/workflows/{quote(found.workflow_id, safe='')}"
    return f"{page}/{quote(found.run_id, safe='')}" if found.run_id else page


def _open_browser(url: str, environ: Mapping[str, str]) -> bool:
    """Open `url`, and return whether a browser took it; not over SSH, without a screen, or in a text browser."""
    is_far = "SSH_CONNECTION" in environ
    has_screen = sys.platform == "darwin" or any(environ.get(name) for name in SCREENS)
    if is_far or not has_screen:
        return False
    try:
        browser = webbrowser.get()
    except webbrowser.Error:
        return False
    return browser.basename not in TEXT_BROWSERS and browser.open(url)
