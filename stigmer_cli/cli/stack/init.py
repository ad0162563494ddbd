"""`stigmer init`: gives a project a stack of its own, and prints what to type next."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text

from stigmer_cli.cli.context import Cli
from stigmer_cli.cli.output import strip_control_sequences
from stigmer_cli.errors import ConfigError
from stigmer_cli.options import HOME_VARIABLE
from stigmer_cli.paths import absolute_path
from stigmer_cli.project_home import Origin
from stigmer_cli.stack.copied_home import OPEN_IN_BOTH
from stigmer_cli.stack.known_homes import KnownHomes
from stigmer_cli.stack.project import Project, init_project


def init_stack(cli: Cli, directory: str | None) -> None:
    """Make the project in `directory` (None: the working directory), and print what was made and what to type next."""
    place = _find_place(cli, directory)
    known = KnownHomes(cli.environ, user_home=cli.user_home)
    project = cli.run(init_project(place, known, user_home=cli.user_home, clock=cli.clock))
    _tell_origin(cli, project)
    for warning in project.warnings:
        cli.out.warning(warning)
    if project.left is not None:
        _tell_left(cli, project, project.left)
    if named := cli.environ.get(HOME_VARIABLE):
        cli.out.warning(f"{HOME_VARIABLE} is set in this shell: commands use {named}, not this project")
    lines = _list_next(cli, project)
    server, temporal = project.ports
    data: dict[str, object] = {
        "directory": str(project.directory),
        "home": str(project.home.path),
        "left": str(project.left) if project.left else None,
        "made": [str(path) for path in project.made],
        "serverPort": server,
        "temporalPort": temporal,
        "agent": project.agent.name,
        "next": list(lines),
    }
    cli.out.result(data, lambda console: _print(console, project, lines))


def _find_place(cli: Cli, directory: str | None) -> Path:
    if directory is not None:
        return absolute_path(directory).resolve()
    if cli.working_directory is None:
        raise ConfigError("the working directory has been deleted", hint="cd to a directory that exists")
    return absolute_path(cli.working_directory)


def _tell_origin(cli: Cli, project: Project) -> None:
    """Say that the home was taken over, and with which settings: somebody else may have written them."""
    found = project.provenance
    if found.origin in (Origin.OWN, Origin.EMPTY):
        return
    if found.origin is Origin.COPY:
        cli.out.note(f"{project.home.path} was a copy of {found.made_at}: it has ports and a token of its own now")
        cli.out.note(f"{OPEN_IN_BOTH}; stigmer executions cancel ends it here")
    else:
        cli.out.note(f"{project.home.path} was not made here; from now on it is used as it is")
    cli.out.note(f"look at its settings: {project.home.config_file}")


def _tell_left(cli: Cli, project: Project, left: Path) -> None:
    """Say that commands here have used the stack in `left`, and how they do so again."""
    cli.out.warning(
        f"{project.directory} lies in another project, {left.parent}; commands in it have used the stack of that"
        " project until now, and use the one made here from now on"
    )
    cli.out.hint(f"to use the stack of {left.parent} again: rm -r {shlex.quote(str(project.home.path))}")


def _list_next(cli: Cli, project: Project) -> Sequence[str]:
    """The commands that bring a newcomer to a first answer, as they can be pasted into this shell."""
    is_elsewhere = project.directory != cli.working_directory
    return (
        *([f"unset {HOME_VARIABLE}"] if cli.environ.get(HOME_VARIABLE) else []),
        *([f"cd {shlex.quote(str(project.directory))}"] if is_elsewhere else []),
        "stigmer up",
        f"stigmer apply -f {shlex.quote(project.agent.path)}",
        f"stigmer run {project.agent.name} 'hello'",
    )


def _print(console: Console, project: Project, lines: Sequence[str]) -> None:
    if not project.made:
        console.print(Text(f"{project.home.path} is there; nothing was changed"), soft_wrap=True)
    for path in project.made:
        console.print(Text(f"made {strip_control_sequences(str(path))}"), soft_wrap=True)
    server, temporal = project.ports
    console.print(f"the stack of this project has port {server} for its server and {temporal} for Temporal")
    console.print("next:")
    for line in lines:
        console.print(Text(f"  {line}"), soft_wrap=True)
