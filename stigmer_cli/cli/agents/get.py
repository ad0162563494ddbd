"""`stigmer agents get`: shows one agent."""

import json
from collections.abc import Iterator

from rich.console import Console

from stigmer_cli.api.agent_tools import ToolServerBody
from stigmer_cli.api.resources import AgentResource
from stigmer_cli.cli.agents.manifest_yaml import write_manifest
from stigmer_cli.cli.consoles import escape_markup
from stigmer_cli.cli.context import Cli
from stigmer_cli.time_format import span


def show_agent(cli: Cli, agent: str, *, is_yaml: bool) -> None:
    """Print the agent with this name or id, or, with `is_yaml`, the manifest of it; raises NotFound."""
    found = cli.call(lambda client: client.agent(agent))
    if is_yaml:
        cli.out.raw(write_manifest(found))
        return
    cli.out.result(found.to_wire(), lambda console: _print(console, found))


def _print(console: Console, item: AgentResource) -> None:
    rows = {
        "name": item.metadata.name,
        "id": item.metadata.id,
        "slug": item.metadata.slug,
        "model": item.spec.model,
        "description": item.spec.description,
        "tools": "\n              ".join(_describe_server(server) for server in item.spec.tools),
        "limits": ", ".join(_limits_of(item)),
        "output": json.dumps(item.spec.output) if item.spec.output is not None else "",
        "instructions": item.spec.instructions,
    }
    for name, value in rows.items():
        if value:
            console.print(f"[bold]{name + ':':<14}[/]{escape_markup(value)}", soft_wrap=True)


def _limits_of(item: AgentResource) -> Iterator[str]:
    limits = item.spec.limits
    if limits is None:
        return
    words = {"turns": limits.turns, "tool calls": limits.tool_calls, "tokens": limits.tokens}
    yield from (f"{count:,} {name}" for name, count in words.items() if count is not None)
    if limits.seconds is not None:
        yield span(limits.seconds)
    if limits.money is not None:
        yield f"${limits.money:g}"


def _describe_server(server: ToolServerBody) -> str:
    only = f", only {', '.join(server.allow)}" if server.allow else ""
    without = f", without {', '.join(server.deny)}" if server.deny else ""
    return f"{server.mcp.label}{only}{without}"
