"""`stigmer ui`: opens Temporal's web UI in a browser, or prints the link that does."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated
from urllib.parse import quote

import typer

from stigmer_cli.cli.arguments import parse_execution_id
from stigmer_cli.cli.context import Cli, cli_of
from stigmer_cli.cli.output import Format
from stigmer_cli.errors import ConfigError

if TYPE_CHECKING:
    from stigmer_cli.client import Client

SCREENS = ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")


def ui(
    ctx: typer.Context,
    execution: Annotated[str | None, typer.Argument(metavar="[ID]", help="Open the page of this execution.")] = None,
    *,
    at: Annotated[
        str | None, typer.Option(metavar="URL", help="The server's address as the browser knows it, if forwarded.")
    ] = None,
    print_only: Annotated[
        bool, typer.Option("--print", "--no-browser", help="Print the link, and open nothing.")
    ] = False,
    output: Annotated[Format, typer.Option("-o", "--output", help="How to print the result.")] = Format.TABLE,
) -> None:
    """Open Temporal's web UI. The link works once, for a minute; the browser then has a session of twelve hours."""
    cli = cli_of(ctx)
    out = cli.show(output)
    if at is not None and not at.startswith(("http://", "https://")):
        raise ConfigError(f"--at {at}: not an http:// or https:// URL", hint="stigmer ui --at https://NAME")

    async def asked(client: "Client") -> tuple[str, float]:
        link = await client.make_ui_link(await _page_of(client, cli, execution))
        return f"{(at or client.base_url).rstrip('/')}{link.path}", link.expires_in_s

    url, expires_in_s = cli.call(asked)
    is_opened = not print_only and output is Format.TABLE and _opened(url, cli.environ)
    data = {"url": url, "expiresInS": expires_in_s}
    if is_opened:
        out.note("opened in your browser; where nothing shows: stigmer ui --print")
    else:
        out.result(data, lambda console: console.print(url, soft_wrap=True))
        out.note(f"the link works once, for {expires_in_s:.0f} s")


async def _page_of(client: "Client", cli: Cli, execution: str | None) -> str:
    if execution is None:
        return "/ui/"
    found = (await client.execution(parse_execution_id(execution))).status.dispatch
    namespace = quote(cli.settings().temporal_namespace, safe="")
    page = f"/ui/namespaces/{namespace}/workflows/{quote(found.workflow_id, safe='')}"
    return f"{page}/{quote(found.run_id, safe='')}" if found.run_id else page


def _opened(url: str, environ: Mapping[str, str]) -> bool:
    """Whether a browser took it; none is tried where it would run in this terminal, or far from the person at it."""
    import sys  # noqa: PLC0415 - only here
    import webbrowser  # noqa: PLC0415 - only here

    is_far = "SSH_CONNECTION" in environ
    has_screen = sys.platform == "darwin" or any(environ.get(name) for name in SCREENS)
    return has_screen and not is_far and webbrowser.open(url)
