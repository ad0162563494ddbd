"""Declares the commands about events; each imports its body when it runs, so that `--help` loads none of them."""

from typing import Annotated

import typer

from stigmer_cli.cli.context import cli_of
from stigmer_cli.cli.output import Format
from stigmer_cli.cli.parameters import OutputFormat
from stigmer_cli.cli.sections import make_group

EventType = Annotated[str, typer.Argument(metavar="TYPE", help="What the event is: com.example.order.paid.")]

events = make_group("Send events to workflows that listen, and list events.")


@events.command("emit")
def emit(
    ctx: typer.Context,
    type_: EventType,
    *,
    data: Annotated[
        str | None,
        typer.Option("--data", "-d", metavar="JSON", help="Its data: JSON, @FILE, or '-' for standard input."),
    ] = None,
    source: Annotated[
        str, typer.Option("--source", metavar="TEXT", help="Where it comes from, as a URI reference.")
    ] = "/stigmer/cli",
    subject: Annotated[str | None, typer.Option("--subject", metavar="TEXT", help="What it is about.")] = None,
    id_: Annotated[
        str | None,
        typer.Option(
            "--id", metavar="KEY", help="An event with the same source and id is taken once. Default: a new one."
        ),
    ] = None,
    time: Annotated[
        str | None, typer.Option("--time", metavar="TIME", help="When it happened (RFC 3339). Default: now.")
    ] = None,
    extension: Annotated[
        list[str] | None,
        typer.Option("--extension", metavar="TEXT", help="A further attribute: orderid=17."),
    ] = None,
    output: OutputFormat = Format.TABLE,
) -> None:
    """Send an event. It is kept before this returns, and workflows that listen for it go on."""
    from stigmer_cli.cli.events.emit import EventOptions, emit_event

    options = EventOptions(
        type=type_, data=data, source=source, subject=subject, id=id_, time=time, extensions=tuple(extension or ())
    )
    emit_event(cli_of(ctx, output), options)


@events.command("list")
def list_(
    ctx: typer.Context,
    *,
    type_: Annotated[str | None, typer.Option("--type", metavar="TYPE", help="Only events of this type.")] = None,
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, max=10_000, help="How many at most.")] = 50,
    output: OutputFormat = Format.TABLE,
) -> None:
    """List the events that are kept, newest first."""
    from stigmer_cli.cli.events.list import list_events

    list_events(cli_of(ctx, output, is_look=True), type_=type_, limit=limit)
