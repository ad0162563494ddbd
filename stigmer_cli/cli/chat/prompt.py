"""Where the messages of a chat come from: a prompt at the terminal, or the lines of standard input."""

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

from stigmer_cli.api.resources import MESSAGE_MAX
from stigmer_cli.cli.chat.history import ChatHistory
from stigmer_cli.cli.line_editor import make_output, no_color
from stigmer_cli.daemon_thread import in_thread
from stigmer_cli.errors import ConfigError

if TYPE_CHECKING:
    from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent

PROMPT = "> "
LINE_BYTES_MAX = 4 * MESSAGE_MAX
"""A character is four bytes of UTF-8 at most."""


class Interrupted(Exception):
    """Ctrl-C at the empty prompt."""


class Messages(Protocol):
    """Where messages come from."""

    is_terminal: bool

    async def read(self, default: str = "") -> str | None:
        """The next message; None at the end. `default` stands at the prompt already. Raises Interrupted."""


class StdinLines:
    """Each line of standard input is a message.

    With `prompt`, a person types them at a terminal that can only print.
    """

    def __init__(self, prompt: Callable[[], None] | None = None) -> None:
        self.is_terminal = prompt is not None
        self._prompt = prompt
        self._number = 0

    async def read(self, default: str = "") -> str | None:  # noqa: ARG002 - for a prompt
        """The next line without its end. Raises ConfigError for one that is too long, or no UTF-8."""
        if self._prompt is not None:
            self._prompt()
        data = await in_thread(lambda: sys.stdin.buffer.readline(LINE_BYTES_MAX + 1))
        if not data:
            return None
        self._number += 1
        name = f"line {self._number} of standard input"
        try:
            text = data.decode().removesuffix("\n").removesuffix("\r")
        except UnicodeDecodeError as error:
            raise ConfigError(f"{name} is not UTF-8 text (byte {error.start})", hint="stigmer chat --help") from None
        if len(text) > MESSAGE_MAX:
            raise ConfigError(f"{name} is longer than {MESSAGE_MAX:,} characters", hint="stigmer run --help")
        return text


class TerminalPrompt:
    """A line editor on standard error, so that standard output holds answers only."""

    is_terminal = True

    def __init__(self, history: ChatHistory, *, words: Sequence[str]) -> None:
        """`words` are completed with the tab key."""
        from prompt_toolkit import PromptSession  # noqa: PLC0415 - for a terminal only
        from prompt_toolkit.completion import WordCompleter  # noqa: PLC0415
        from prompt_toolkit.history import InMemoryHistory  # noqa: PLC0415

        self._history = history
        self._session = PromptSession[str](
            PROMPT,
            history=InMemoryHistory(history.load()),
            key_bindings=_make_keys(),
            completer=WordCompleter(list(words), sentence=True),
            complete_while_typing=False,
            prompt_continuation="  ",
            color_depth=no_color(),
            output=make_output(),
            enable_open_in_editor=False,
            enable_suspend=True,
        )

    async def read(self, default: str = "") -> str | None:
        """What a person typed. Raises Interrupted."""
        try:
            text: str = await self._session.prompt_async(default=default)
        except EOFError:
            return None
        except KeyboardInterrupt:
            raise Interrupted from None
        text = text.encode("utf-8", "replace").decode()  # half a surrogate pair, from bytes that are not UTF-8
        if text.strip():
            self._history.append(text)
        return text


def _make_keys() -> "KeyBindings":
    """Alt-Enter begins a line; Ctrl-C empties the prompt, or leaves it where that is empty."""
    from prompt_toolkit.key_binding import KeyBindings  # noqa: PLC0415

    keys = KeyBindings()

    def begin_line(event: "KeyPressEvent") -> None:
        event.current_buffer.insert_text("\n")

    def drop(event: "KeyPressEvent") -> None:
        if event.current_buffer.text:
            event.current_buffer.reset()
        else:
            event.app.exit(exception=KeyboardInterrupt, style="class:aborting")

    keys.add("escape", "enter")(begin_line)
    keys.add("c-c", eager=True)(drop)
    return keys
