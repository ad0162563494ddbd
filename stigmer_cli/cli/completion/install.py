"""`stigmer completion`: prints the script for a shell, or puts it where that shell finds it."""

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import psutil

from stigmer_cli.cli.completion.commands import Shell
from stigmer_cli.cli.context import Cli
from stigmer_cli.errors import ConfigError, MachineError, reason_of
from stigmer_cli.files import write_atomically

MODE = 0o644
OURS = "# Completion of stigmer for "
"""How the scripts are known for ours, whatever version wrote them."""

GUARD = "# stigmer completion"
BASH_COMPLETION = re.compile(r"^[^#\n]*(?:bash_completion|profile\.d)", re.MULTILINE)
SYSTEM_BASHRC = (Path("/etc/bash.bashrc"), Path("/etc/bashrc"))
BASH_COMPLETIONS = tuple(
    Path(folder) / "share/bash-completion/bash_completion" for folder in ("/usr", "/usr/local", "/opt/homebrew")
)


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where the script of a shell belongs. `rc` is the file that has to have `lines`, if the shell needs any.

    `is_edited`: we add the lines ourselves; otherwise the person is shown them.
    """

    script: Path
    rc: Path | None = None
    lines: tuple[str, ...] = ()
    is_edited: bool = False


def show_script(cli: Cli, shell: Shell | None) -> None:
    """Print the script for `shell`."""
    cli.out.raw(read_script(shell or find_shell(cli.environ)))


def read_script(shell: Shell) -> str:
    """The completion script for `shell`."""
    return (files("stigmer_cli.cli.completion") / "scripts" / f"stigmer.{shell}").read_text(encoding="utf-8")


def install_script(cli: Cli, shell: Shell | None) -> None:
    """Write the script for `shell`, and say where, and what is left to do. A second time changes nothing.

    Raises ConfigError if another program's file is there, MachineError if it cannot be written.
    """
    shell = shell or find_shell(cli.environ)
    place, text = find_place(shell, cli.environ, _user_home(cli)), read_script(shell)
    _refuse_foreign(place.script, text)
    if _read(place.script) == text:
        cli.out.note(f"{place.script} is up to date")
    else:
        _write(place.script, text)
        cli.out.note(f"wrote {place.script}")
    missing = () if place.rc is None else tuple(line for line in place.lines if line not in _read(place.rc))
    if place.rc and missing and place.is_edited:
        _write(place.rc, _with_lines(_read(place.rc), place.lines))
        cli.out.note(f"added to {place.rc}: {place.lines[-1]}")
    elif place.rc and missing:
        cli.out.note("\n".join((f"add to {place.rc}, before anything else that completes:", *place.lines)))
    cli.out.hint(f"exec {shell}, then type: stigmer executions get, a space, and the tab key")


def remove_script(cli: Cli, shell: Shell | None) -> None:
    """Remove the script for `shell`, and the lines that were added for it. It is no error if there are none.

    Raises ConfigError if another program's file is there, MachineError if it cannot be removed.
    """
    shell = shell or find_shell(cli.environ)
    place = find_place(shell, cli.environ, _user_home(cli))
    _refuse_foreign(place.script, "")
    if not place.script.exists():
        cli.out.note(f"{place.script} is not there")
    else:
        try:
            place.script.unlink()
        except OSError as error:
            raise MachineError(f"cannot remove {place.script}: {reason_of(error)}") from error
        cli.out.note(f"removed {place.script}")
    for rc in (_bashrc(_user_home(cli)),) if shell is Shell.BASH else ():
        before = _read(rc)
        if GUARD in before.splitlines():
            _write(rc, _without_lines(before))
            cli.out.note(f"removed our lines from {rc}")


def find_shell(environ: Mapping[str, str]) -> Shell:
    """The shell that this command was typed in, else the login shell; raises ConfigError if there is no script for it.

    Another program may stand between: `uv run`, `sudo`, `make`.
    """
    try:
        parents = [process.name().lstrip("-") for process in psutil.Process().parents()]
    except psutil.Error:
        parents = []
    login = Path(environ.get("SHELL", "")).name
    for name in (*parents, login):
        if name in {*Shell}:
            return Shell(name)
    raise ConfigError(
        f"there are completions for {', '.join(Shell)}, and this shell is none of them ({login or 'SHELL is not set'})",
        hint="stigmer completion install bash",
    )


def find_place(shell: Shell, environ: Mapping[str, str], home: Path) -> Place:
    """Where the script for `shell` belongs, by the rules of that shell."""
    match shell:
        case Shell.BASH:
            data = Path(environ.get("XDG_DATA_HOME") or home / ".local/share")
            own = Path(environ.get("BASH_COMPLETION_USER_DIR") or data / "bash-completion")
            script = own / "completions/stigmer"
            rc = _bashrc(home)
            if _loads_bash_completion(rc):
                return Place(script=script)
            name = shlex.quote(str(script))
            return Place(script=script, rc=rc, lines=(GUARD, f"[ -r {name} ] && . {name}"), is_edited=True)
        case Shell.ZSH:
            folder = Path(environ.get("ZDOTDIR") or home)
            functions = folder / ".zfunc"
            lines = (f"fpath=({shlex.quote(str(functions))} $fpath)", "autoload -Uz compinit && compinit")
            return Place(script=functions / "_stigmer", rc=folder / ".zshrc", lines=lines)
        case Shell.FISH:
            config = Path(environ.get("XDG_CONFIG_HOME") or home / ".config")
            return Place(script=config / "fish/completions/stigmer.fish")


def _loads_bash_completion(rc: Path) -> bool:
    """Whether bash loads completions from the user's folder: bash-completion is installed, and something loads it."""
    return any(map(Path.exists, BASH_COMPLETIONS)) and any(
        BASH_COMPLETION.search(_read(path)) for path in (rc, *SYSTEM_BASHRC)
    )


def _bashrc(home: Path) -> Path:
    """What an interactive bash reads: a login shell, as terminals on macOS start it, reads .bash_profile instead."""
    profile = home / ".bash_profile"
    return profile if profile.exists() and not (home / ".bashrc").exists() else home / ".bashrc"


def _user_home(cli: Cli) -> Path:
    if cli.user_home is None:
        raise ConfigError("HOME is not set, and this system knows no home directory for you", hint="export HOME=...")
    return cli.user_home


def _refuse_foreign(path: Path, text: str) -> None:
    there = _read(path)
    if there and there != text and OURS not in there:
        raise ConfigError(f"{path} is there, and not from stigmer", hint="stigmer completion install --print")


def _with_lines(text: str, lines: tuple[str, ...]) -> str:
    """`text` with our lines at its end, in place of those of an earlier installation."""
    before = _without_lines(text)
    gap = "" if not before or before.endswith("\n") else "\n"
    return "\n".join((f"{before}{gap}{lines[0]}", *lines[1:], ""))


def _without_lines(text: str) -> str:
    return re.sub(rf"^{re.escape(GUARD)}\n.*\n?", "", text, flags=re.MULTILINE)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return ""


def _write(path: Path, text: str) -> None:
    """Replace the file that `path` leads to, so that a link among somebody's settings stays one."""
    try:
        target = path.resolve()
        target.parent.mkdir(parents=True, exist_ok=True)
        mode = target.stat().st_mode & 0o777 if target.exists() else MODE
        write_atomically(target, text.encode("utf-8", "surrogateescape"), mode)
    except OSError as error:
        raise MachineError(
            f"cannot write {path}: {reason_of(error)}", hint="stigmer completion install --print shows what to write"
        ) from error
