"""The screens over that of `stigmer top`: a question, a choice, and the page about one execution."""

import io
from collections.abc import Sequence
from datetime import datetime
from typing import ClassVar

from rich.console import Console
from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Footer, Label, OptionList, Static

from stigmer_cli.api.resources import EventBody, ExecutionResource
from stigmer_cli.cli.executions.spans import find_spans
from stigmer_cli.cli.executions.tables import print_execution

BOX = """
    { align: center middle; }
    NAME > Vertical { width: auto; max-width: 90%; height: auto; border: round $primary; padding: 1 2; }
    NAME OptionList { width: 30; height: auto; }
"""


class Confirm(ModalScreen[bool]):
    """Asks a question; its result is whether the answer was yes."""

    DEFAULT_CSS = "Confirm" + BOX.replace("NAME", "Confirm")
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "answer(True)", "Yes"),
        Binding("n,escape,q", "answer(False)", "No"),
    ]

    def __init__(self, question: str) -> None:
        super().__init__()
        self._question = question

    def compose(self) -> ComposeResult:
        """The question, and the keys."""
        with Vertical():
            yield Label(Text(f"{self._question} (y/n)"))
        yield Footer()

    def action_answer(self, is_yes: bool) -> None:  # noqa: FBT001 - textual hands it over by place
        """Close with the answer."""
        _ = self.dismiss(is_yes)


class Choose(ModalScreen[str | None]):
    """Asks for one of several names; its result is the name, or None if the user left."""

    DEFAULT_CSS = "Choose" + BOX.replace("NAME", "Choose")
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q", "leave", "Leave")]

    def __init__(self, question: str, names: Sequence[str]) -> None:
        super().__init__()
        self._question, self._names = question, names

    def compose(self) -> ComposeResult:
        """The question, and the names."""
        with Vertical():
            yield Label(Text(self._question))
            yield OptionList(*self._names)
        yield Footer()

    @on(OptionList.OptionSelected)
    def _choose(self, event: OptionList.OptionSelected) -> None:
        _ = self.dismiss(self._names[event.option_index])

    def action_leave(self) -> None:
        """Close without a choice."""
        _ = self.dismiss(None)


class Details(ModalScreen[None]):
    """The page about one execution, as `stigmer executions get` prints it."""

    DEFAULT_CSS = """
    Details > VerticalScroll { background: $surface; padding: 0 2; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,g,enter", "leave", "Back")]

    def __init__(self, page: Text) -> None:
        super().__init__()
        self._page = page

    def compose(self) -> ComposeResult:
        """The page, which scrolls."""
        with VerticalScroll():
            yield Static(self._page)
        yield Footer()

    def action_leave(self) -> None:
        """Close the page."""
        _ = self.dismiss(None)


def draw_details(item: ExecutionResource, events: Sequence[EventBody], now: datetime, *, width: int) -> Text:
    """What `executions get` prints about `item`, in colour, `width` columns wide."""
    console = Console(file=io.StringIO(), width=max(width, 1), force_terminal=True, highlight=False, color_system="256")
    print_execution(console, item, events, find_spans(events, now))
    if item.stuck:
        console.print(Text(f"hint: {item.stuck.hint}", style="cyan"), soft_wrap=True)
    return Text.from_ansi(console.file.getvalue())  # type: ignore[attr-defined]
