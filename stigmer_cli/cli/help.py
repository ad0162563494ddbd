"""`stigmer help`: the pages of the manual, which are shipped with the package, and the help of any command."""

import difflib
from collections.abc import Collection, Sequence
from importlib.resources import files
from typing import Annotated

import typer

from stigmer_cli.cli.context import Cli, cli_of
from stigmer_cli.errors import RequestError

TOPICS = (
    "getting-started",
    "stack",
    "agents",
    "executions",
    "reconcile",
    "temporal",
    "doctor",
    "troubleshooting",
    "settings",
    "security",
    "networking",
    "upgrading",
    "scripting",
    "http-api",
)
"""The pages, in the order in which a new user reads them; each is a file of the folder `manual`."""


def page(topic: str) -> str:
    """The Markdown of a topic."""
    return (files("stigmer_cli") / "manual" / f"{topic}.md").read_text(encoding="utf-8")


def summary(topic: str) -> str:
    """What a page is about, in one line: the first line below its heading."""
    return page(topic).splitlines()[2].removesuffix(".")


def completions(incomplete: str) -> list[tuple[str, str]]:
    """The topics that begin with `incomplete`, each with its summary, as a shell offers them."""
    return [(topic, summary(topic)) for topic in TOPICS if topic.startswith(incomplete)]


WORDS = typer.Argument(
    metavar="[TOPIC]", help="A page of the manual, or a command.", autocompletion=completions, show_default=False
)
PAGER = typer.Option("--pager/--no-pager", help="Show a page that is longer than the terminal in $PAGER, or less.")


def show_help(
    ctx: typer.Context,
    words: Annotated[list[str] | None, WORDS] = None,
    *,
    is_paged: Annotated[bool, PAGER] = True,
) -> None:
    """Show a page of the manual; without a topic, list the pages."""
    cli = cli_of(ctx)
    match words or []:
        case []:
            _print_topics(cli)
        case [topic] if topic in TOPICS:
            _show_page(cli, topic, is_paged=is_paged)
        case asked:
            cli.out.raw(_help_of(ctx, asked))


def _print_topics(cli: Cli) -> None:
    width = max(len(topic) for topic in TOPICS)
    lines = [f"  {topic:<{width}}  {summary(topic)}" for topic in TOPICS]
    cli.out.raw("\n".join(("Pages of the manual:", "", *lines, "", "Read one with: stigmer help TOPIC", "")))


def _show_page(cli: Cli, topic: str, *, is_paged: bool) -> None:
    """Rendered on a terminal, in a pager where the page is longer; as Markdown anywhere else."""
    if not cli.out.stdout.is_terminal:
        cli.out.raw(page(topic))
        return
    from stigmer_cli.cli.page import pager_of, rendered, show_in  # noqa: PLC0415 - the renderer takes 30 ms to load

    text = rendered(cli.out.stdout, page(topic))
    pager = pager_of(cli.environ) if is_paged and text.count("\n") >= cli.out.stdout.height else ()
    if not (pager and show_in(pager, text, cli.environ)):
        cli.out.raw(text)


def _help_of(ctx: typer.Context, words: Sequence[str]) -> str:
    """What `stigmer WORDS --help` prints; raises RequestError where there is neither such a page nor such a command."""
    here = ctx.find_root()
    for word in words:
        commands = getattr(here.command, "commands", {})
        if word not in commands:
            raise RequestError(_unknown(" ".join(words), word, commands), hint="stigmer help")
        here = typer.Context(commands[word], info_name=word, parent=here)
    return f"{here.command.get_help(here)}\n"


def _unknown(asked: str, word: str, commands: Collection[str]) -> str:
    names = [*TOPICS, *commands] if word == asked else [*commands]
    close = difflib.get_close_matches(word.lower(), names, n=1)
    return f"there is no page and no command {asked!r}" + (f"; did you mean {close[0]}?" if close else "")
