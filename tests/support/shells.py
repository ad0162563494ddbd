"""The real bash, zsh and fish in a pseudo-terminal: what the tab key shows, and what it types."""

import re
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pexpect  # type: ignore[import-untyped] # its stubs are not installed

READY = "READY>"
DUMP = "\x07"
"""Ctrl-G: each shell prints its line between `<<` and `>>`, after everything that was typed before it was handled."""

KILL_LINE = "\x15"
"""Ctrl-U: no signal, which would also drop what is typed behind it."""

ANSWER_MAX_S = 60
ESCAPES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[()][0-9A-B]|\x1b[=>78cDEHM]|[\x0e\x0f]"
)

SETUP: Mapping[str, tuple[str, ...]] = {
    "bash": (
        "bind 'set show-all-if-ambiguous on'",
        "bind 'set bell-style none'",
        "bind 'set page-completions off'",
        "bind 'set completion-query-items 0'",
        "bind 'set enable-bracketed-paste off' 2>/dev/null",
        """bind -x '"\\C-g": printf "<""<%s>>" "$READLINE_LINE"'""",
    ),
    "zsh": (
        "unsetopt BEEP LIST_AMBIGUOUS PROMPT_SP",
        "dump() { print -rn -- '<''<'$BUFFER'>>' }; zle -N dump; bindkey '^G' dump",
    ),
    "fish": (
        "set -U fish_greeting; set -g fish_autosuggestion_enabled 0",
        'bind \\cg \'printf "<""<%s>>" (commandline | string collect)\'',
    ),
}
# Written so that the echo of the command is not taken for the prompt.
PROMPTS = {
    "bash": f"PS1='{READY[:-1]}''> '",
    "zsh": f"PS1='{READY[:-1]}''> '",
    "fish": f"function fish_prompt; printf '{READY[:-1]}''> '; end",
}
ARGUMENTS = {"bash": ("--norc", "--noprofile", "-i"), "zsh": ("-f", "-i"), "fish": ("--private",)}
SHELLS = tuple(SETUP)


@dataclass(frozen=True, kw_only=True)
class Tab:
    """What one press of the tab key showed, and the line behind it."""

    shown: str
    line: str


class Shell:
    """One interactive shell without the configuration of whoever runs the tests."""

    def __init__(self, kind: str, process: pexpect.spawn) -> None:
        self.kind = kind
        self._process = process
        self._ran = 0

    def run(self, command: str) -> str:
        """What `command` prints, its own echo included."""
        self._ran += 1
        self._process.sendline(command)
        self._process.sendline(f"echo 'RAN''{self._ran}.'")
        self._process.expect_exact(f"RAN{self._ran}.")
        printed = _plain(self._process.before)
        self._process.expect_exact(f"{READY} ")
        return printed

    def press_tab(self, text: str) -> Tab:
        """Type `text` and press the tab key; the line is empty again afterwards."""
        self._process.send(f"{text}\t{DUMP}")
        self._process.expect(r"<<(.*?)>>")
        found = self._process.match
        assert isinstance(found, re.Match)
        tab = Tab(shown=_plain(self._process.before).partition(text)[2], line=_plain(found[1]))
        self._process.send(KILL_LINE)
        return tab


@contextmanager
def interactive(kind: str, environment: Mapping[str, str], *before: str, cwd: Path | None = None) -> Iterator[Shell]:
    """A shell of `kind` that has run the commands `before`."""
    options: dict[str, Any] = {"env": dict(environment), "cwd": cwd, "encoding": "utf-8", "timeout": ANSWER_MAX_S}
    process = pexpect.spawn(_find(kind), list(ARGUMENTS[kind]), dimensions=(60, 200), **options)
    try:
        shell = Shell(kind, process)
        for command in (PROMPTS[kind], *SETUP[kind], *before):
            shell.run(command)
        yield shell
    finally:
        process.close(force=True)


def is_installed(kind: str) -> bool:
    """Whether this machine has the shell."""
    return shutil.which(kind) is not None


def shell_environment(home: Path, **more: str) -> dict[str, str]:
    """The environment of somebody whose home directory is `home` and who has `stigmer` in the path."""
    path = f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin"
    return {"HOME": str(home), "PATH": path, "TERM": "xterm", "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8", **more}


def _find(kind: str) -> str:
    found = shutil.which(kind)
    assert found, f"{kind} is not installed"
    return found


def _plain(text: object) -> str:
    assert isinstance(text, str)
    return ESCAPES.sub("", text).replace("\r", "")
