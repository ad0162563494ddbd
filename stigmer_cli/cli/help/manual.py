"""`stigmer help`: a page of the manual, or the help of any command."""

from collections.abc import Collection, Sequence

import typer

from stigmer_cli.cli.context import Cli
from stigmer_cli.cli.help.topics import TOPICS, read_page, read_summary
from stigmer_cli.errors import RequestError
from stigmer_cli.nearest import suggest_nearest


def show_manual(cli: Cli, ctx: typer.Context, words: Sequence[str], *, is_paged: bool) -> None:
    """Print the page or the help of the command that `words` name; without words, the list of pages.

    Raises RequestError for an unknown name.
    """
    match words:
        case []:
            _print_topics(cli)
        case [topic] if topic in TOPICS:
            _show_page(cli, topic, is_paged=is_paged)
        case _:
            cli.out.raw(_format_help(ctx, words))


def _print_topics(cli: Cli) -> None:
    width = max(len(topic) for topic in TOPICS)
    lines = [f"  {topic:<{width}}  {read_summary(topic)}" for topic in TOPICS]
    cli.out.raw("\n".join(("Pages of the manual:", "", *lines, "", "Read one with: stigmer help TOPIC", "")))


def _show_page(cli: Cli, topic: str, *, is_paged: bool) -> None:
    """Print the page rendered on a terminal, in a pager if it is longer; elsewhere as Markdown."""
    if not cli.out.stdout.is_terminal:
        cli.out.raw(read_page(topic))
        return
    from stigmer_cli.cli.help.page import find_pager, render_markdown, show_in_pager  # noqa: PLC0415 - 30 ms

    text = render_markdown(cli.out.stdout, read_page(topic))
    pager = find_pager(cli.environ) if is_paged and text.count("\n") >= cli.out.stdout.height else ()
    if not (pager and show_in_pager(pager, text, cli.environ)):
        cli.out.raw(text)


def _format_help(ctx: typer.Context, words: Sequence[str]) -> str:
    """What `stigmer WORDS --help` prints; raises RequestError if there is neither such a page nor such a command."""
    here = ctx.find_root()
    for word in words:
        commands = getattr(here.command, "commands", {})
        if word not in commands:
            raise RequestError(_describe_unknown(" ".join(words), word, commands), hint="stigmer help")
        here = typer.Context(commands[word], info_name=word, parent=here)
    return f"{here.command.get_help(here)}\n"


def _describe_unknown(asked: str, word: str, commands: Collection[str]) -> str:
    names = [*TOPICS, *commands] if word == asked else [*commands]
    return f"there is no page and no command {asked!r}{suggest_nearest(word.lower(), names)}"
