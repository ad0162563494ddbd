"""How a shell asks for the completions of a word, and how it is answered.

The scripts set `_STIGMER_COMPLETE` to the name of the shell. zsh and fish hand over the words as arguments, the word
under the cursor last. bash splits words at `:` and `=`; so its script hands over the line up to the cursor, and the
part of the word that bash will replace.

The answer is one line, `files` or `values`, and then a line for each value. An empty answer offers nothing.
"""

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from stigmer_cli.cli.output import truncate_line

COMPLETION = "_STIGMER_COMPLETE"
LINE = "_STIGMER_LINE"
WORD = "_STIGMER_WORD"

CURSOR = "\x01"
"""Marks the end of the line while it is split, so that a word which ends there is told from one that has not begun."""

PLAIN = re.compile(r"[A-Za-z0-9@%_+=:,./-]+")
"""What no shell takes for anything but itself; other values are not offered, because each shell quotes differently."""

ABOUT_MAX = 100
"""Characters of a description."""


@dataclass(frozen=True, kw_only=True)
class Item:
    """One value that is offered, and what it is."""

    value: str
    about: str = ""


@dataclass(frozen=True, kw_only=True)
class Request:
    """The words before the one under the cursor, that word up to the cursor, and how many of its characters stay."""

    shell_name: str
    words: Sequence[str]
    current: str
    kept: int = 0

    def format_values(self, items: Iterable[Item]) -> str:
        """The answer that offers `items`, which stand for the whole current word."""
        stays = self.current[: self.kept]
        lines = [
            self._format(item.value.removeprefix(stays), truncate_line(item.about, ABOUT_MAX))
            for item in items
            if item.value.startswith(stays) and PLAIN.fullmatch(item.value)
        ]
        return "\n".join(("values", *lines, ""))

    def _format(self, value: str, about: str) -> str:
        match self.shell_name:
            case "zsh" | "fish":
                return f"{value}\t{about}" if about else value
            case _:
                return value


FILES = "files\n"
"""The answer that leaves it to the shell to offer files."""


def read_request(environ: Mapping[str, str], arguments: Sequence[str]) -> Request | None:
    """What a shell asks for; None if it is no shell that we have a script for."""
    match environ.get(COMPLETION):
        case "bash":
            return _read_bash(environ.get(LINE, ""), environ.get(WORD, ""))
        case "zsh" | "fish" as name:
            *words, current = arguments or ("",)
            return Request(shell_name=name, words=words, current=current.lstrip("'\""))
        case _:
            return None


def _read_bash(line: str, word: str) -> Request:
    """The words of `line`. bash replaces only `word`, the part behind the last character that it splits words at."""
    _program, *words = _split(line + CURSOR)
    current = words.pop().rstrip(CURSOR) if words else ""
    kept = len(current) - len(word) if current.endswith(word) else 0
    return Request(shell_name="bash", words=words, current=current, kept=kept)


def _split(line: str) -> list[str]:
    """`line` in words as a shell splits it; an open quote ends with the line."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=False)
    lexer.whitespace_split, lexer.commenters = True, ""
    words: list[str] = []
    try:
        words.extend(lexer)
    except ValueError:  # the line ends in a quote or behind a backslash
        words.append(lexer.token)
    return words
