"""What begins with a slash at the prompt: a few commands about the chat itself."""

import re
from dataclasses import dataclass
from enum import StrEnum

_COMMAND = re.compile(r"/[A-Za-z?]*")


class Slash(StrEnum):
    """The commands of the prompt."""

    HELP = "/help"
    SESSION = "/session"
    RETRY = "/retry"
    QUIT = "/quit"


ABOUT: dict[Slash, str] = {
    Slash.HELP: "shows this",
    Slash.SESSION: "shows the session, and how to go on with it later",
    Slash.RETRY: "sends the last message again, if it has no answer",
    Slash.QUIT: "ends the chat, as Ctrl-D does",
}
KEYS: dict[str, str] = {
    "Enter": "sends the message",
    "Alt-Enter": "begins a new line; a pasted text may have several",
    "Up, Down": "go through earlier messages; Ctrl-R searches them",
    "Ctrl-C": "cancels the answer or drops what is typed; twice: ends the chat",
    "Ctrl-D": "ends the chat",
    "Ctrl-Z": "suspends it; fg brings it back",
}


@dataclass(frozen=True, kw_only=True)
class UnknownSlash:
    """A word with a slash that is no command."""

    word: str


def parse_slash(text: str) -> Slash | UnknownSlash | None:
    """The command in `text`; None for a message. A path such as `/etc/hosts` begins a message, too."""
    word, _, rest = text.strip().partition(" ")
    if not text.startswith("/") or not _COMMAND.fullmatch(word):
        return None
    if rest.strip():
        return None if word not in {*Slash} else UnknownSlash(word=text.strip())
    return Slash(word) if word in {*Slash} else UnknownSlash(word=word)


def describe_commands() -> str:
    """What `/help` prints."""
    rows = [*((str(name), about) for name, about in ABOUT.items()), *KEYS.items()]
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {about}" for name, about in rows)
