"""Makes the stack of a project: `.stigmer` with ports of its own, ignored by git, and a first agent beside it.

Each step makes what is missing and leaves what is there, so that a call that was killed is completed by the next one.
"""

import shlex
import subprocess
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from stigmer_cli.clock import Clock
from stigmer_cli.credential import rotate_token
from stigmer_cli.errors import ConfigError, MachineError, reason_of
from stigmer_cli.files import OWNER_ONLY, OWNER_ONLY_FOLDER, create_atomically, write_atomically
from stigmer_cli.home_trust import require_trust
from stigmer_cli.project_home import FOLDER_NAME, Origin, Provenance, find_project_home, find_provenance, record_origin
from stigmer_cli.settings import Home, HomeSource
from stigmer_cli.stack.endpoints_file import read_endpoints
from stigmer_cli.stack.first_agent import FirstAgent, make_first_agent
from stigmer_cli.stack.home import way_out
from stigmer_cli.stack.known_homes import KnownHomes
from stigmer_cli.stack.mounts import file_system_of, takes_locks_and_sockets
from stigmer_cli.stack.project_ports import choose_ports, configured_ports, ports_of
from stigmer_cli.supervisor.lock import held

LOCK_MAX_S = 10.0
GIT_MAX_S = 5.0
OF_ANOTHER_REPOSITORY = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE")
"""Variables that a hook of git has: with them git looks there, whatever directory it is given (githooks(5))."""
IGNORE_ALL = b"# Nothing in this folder belongs into a repository: it holds a token, databases and logs.\n*\n"
CONFIG_TITLE = "# Settings of this project's stack; `stigmer config list` shows all."
REMOTE = frozenset({"nfs", "nfs4", "cifs", "smb3", "9p", "drvfs", "vboxsf", "afs", "fuse.sshfs", "fuse.vmhgfs-fuse"})
"""File systems of other machines, or of a virtual machine's host: SQLite needs a local one (sqlite.org/wal.html)."""


@dataclass(frozen=True, kw_only=True)
class Project:
    """A project whose stack can be started. `made` is what this call made or changed; empty: all was there.

    `ports` are those of server and Temporal. `left` is the home of another project around this one, which commands used
    here until this call; None: there is none. `warnings` are sentences for the user.
    """

    directory: Path
    home: Home
    made: tuple[Path, ...]
    provenance: Provenance
    ports: tuple[int, int]
    agent: FirstAgent
    left: Path | None = None
    warnings: tuple[str, ...] = ()


async def init_project(directory: Path, known: KnownHomes, *, user_home: Path | None, clock: Clock) -> Project:
    """Make what the project in `directory` lacks; calls that run at once choose different ports.

    Raises ConfigError where no project can be, MachineError where the home is not to trust or cannot be written.
    """
    _refuse_place(directory, user_home)
    home = Home(path=directory / FOLDER_NAME, source=HomeSource.PROJECT)
    try:
        home.path.mkdir(mode=OWNER_ONLY_FOLDER, parents=True, exist_ok=True)
        async with AsyncExitStack() as locks:
            if known.folder is not None:
                with suppress(OSError):  # without the list there is nothing to agree on
                    known.folder.mkdir(mode=OWNER_ONLY_FOLDER, parents=True, exist_ok=True)
                    await locks.enter_async_context(held(known.folder / "init.lock", within_s=LOCK_MAX_S, clock=clock))
            project = _make(directory, home, known)
    except FileExistsError as error:
        name = shlex.quote(str(error.filename))
        raise ConfigError(f"{error.filename} is not a folder", hint=f"mv {name} {name}.old") from error
    except OSError as error:
        raise MachineError(f"cannot make {home.path}: {reason_of(error)}", hint=way_out(directory, error)) from error
    is_new = home.path in project.made and directory != directory.parent
    left = find_project_home(directory.parent, user_home / FOLDER_NAME if user_home else None) if is_new else None
    return replace(project, left=left, warnings=tuple(_warn(home.path)))


def _refuse_place(directory: Path, user_home: Path | None) -> None:
    """Raise ConfigError where `directory` lies in a home, or is the user's own: its `.stigmer` is the default home."""
    for folder in (directory, *directory.parents):
        if folder.name == FOLDER_NAME:
            raise ConfigError(f"{directory} lies in a home, {folder}", hint=f"cd {shlex.quote(str(folder.parent))}")
    with suppress(OSError):
        if user_home is not None and directory.samefile(user_home):
            raise ConfigError(
                f"{directory / FOLDER_NAME} is the home of the default stack, which needs no init",
                hint="stigmer up, or stigmer init in the directory of a project",
            )


def _make(directory: Path, home: Home, known: KnownHomes) -> Project:
    require_trust(home.path)
    if not takes_locks_and_sockets(home.path):
        raise MachineError(
            f"the file system of {home.path} takes no locks or no unix sockets",
            hint="choose a directory on a local disk",
        )
    made: list[Path] = []
    provenance = find_provenance(home.path)
    if not (home.path / ".gitignore").exists():
        create_atomically(home.path / ".gitignore", IGNORE_ALL, OWNER_ONLY)
        made.append(home.path)
    ports = _keep_or_choose_ports(home, provenance, known, made)
    if provenance.origin is Origin.COPY and home.token_file.exists():
        rotate_token(home)  # whoever has that of the original is not let in here
        made.append(home.token_file)
    record_origin(
        home.path, provenance
    )  # last: a copy whose ports are still the original's must not pass for made here
    known.remember(home)
    agent = make_first_agent(directory)
    made += [agent.file] if agent.is_new and agent.file else []
    return Project(directory=directory, home=home, made=tuple(made), provenance=provenance, ports=ports, agent=agent)


def _keep_or_choose_ports(home: Home, provenance: Provenance, known: KnownHomes, made: list[Path]) -> tuple[int, int]:
    """The ports in config.toml, or new ones where it names none, or those of another home."""
    others = [path for path in known.read() if path != home.path]
    if provenance.made_at is not None and provenance.origin is Origin.COPY:
        others.append(provenance.made_at)
    running, now = read_endpoints(home), configured_ports(home)
    taken = {port for path in others for port in ports_of(Home(path=path))}
    if len(now) >= len(("server", "temporal")) and (provenance.origin is Origin.OWN or not set(now) & taken):
        return now[0], now[1]
    if running is not None and running.temporal_port is not None:
        ports = running.server_port, running.temporal_port
    else:
        ports = choose_ports(others)
    _write_ports(home.config_file, ports)
    made.append(home.config_file)
    return ports


def _write_ports(file: Path, ports: tuple[int, int]) -> None:
    import tomlkit  # noqa: PLC0415 - most commands write no settings
    from tomlkit.exceptions import ParseError  # noqa: PLC0415

    try:
        document = tomlkit.parse(file.read_text(encoding="utf-8-sig") if file.exists() else f"{CONFIG_TITLE}\n")
    except (OSError, UnicodeDecodeError, ParseError) as error:
        raise ConfigError(f"cannot read {file}: {reason_of(error)}", hint=f"correct or remove {file}") from error
    document["server_port"], document["temporal_port"] = ports
    write_atomically(file, tomlkit.dumps(document).encode(), OWNER_ONLY)


def _warn(home: Path) -> Sequence[str]:
    kind = file_system_of(home)
    remote = f"{home} is on {kind}, a file system of another machine: a database there may be damaged when it is away"
    tracked = f"git tracks files in {home}, which holds the token: git rm -r --cached {shlex.quote(str(home))}"
    return [*([remote] if kind in REMOTE else []), *([tracked] if _is_tracked(home) else [])]


def _is_tracked(home: Path) -> bool:
    """Whether git has files of `home` in its index; False where there is no repository, or no git."""
    unset = [word for name in OF_ANOTHER_REPOSITORY for word in ("-u", name)]
    # Whoever owns the repository (in containers often not the user): `ls-files` runs nothing of it.
    settings = ["-c", "core.fsmonitor=false", "-c", "safe.directory=*"]
    command = ["env", *unset, "git", *settings, "-C", str(home.parent), "ls-files", "--", home.name]
    try:
        done = subprocess.run(command, capture_output=True, timeout=GIT_MAX_S, check=False)
    except (OSError, subprocess.SubprocessError):
        return False
    return bool(done.stdout)
