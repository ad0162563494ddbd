"""Whether a home can be trusted: who owns it and its files, who else can write there, and whether we can read it.

Anyone who can write in a home chooses what `up` runs (`temporal_binary` in config.toml) and which token the server
takes. So it is checked before anything in it is read; each fault names the command that fixes it.
"""

import os
import shlex
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from stigmer_cli.errors import MachineError

NameOf = Callable[[int], str | None]
"""What a user is called; None where the system knows no name."""

OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
OTHERS_ENTER = stat.S_IXGRP | stat.S_IXOTH
FOLDERS = ("data", "logs", "run")
ENTRIES_MAX = 500
"""Of each folder; a home has a few dozen files."""

NAMED_MAX = 3
ROOT = 0
CONFIG, TOKEN = "config.toml", "token"


class Fault(StrEnum):
    """What may be wrong with a home, in the order in which it is put right."""

    WRITABLE = "writable"
    OWNER = "owner"
    UNUSABLE = "unusable"


@dataclass(frozen=True, kw_only=True)
class HomeEntry:
    """The home, or a file in it, as lstat(2) told, and what a link leads to.

    `can_use`: we may read it, or enter it. `folder_uid` is the owner of the folder that it lies in, told of the home.
    """

    path: Path
    uid: int
    mode: int
    link_uid: int | None = None
    folder_uid: int | None = None
    can_use: bool = True

    @property
    def owners(self) -> frozenset[int]:
        """Whom it belongs to: the file, and the link that leads there."""
        return frozenset({self.uid} if self.link_uid is None else {self.uid, self.link_uid})


@dataclass(frozen=True, kw_only=True)
class HomeFinding:
    """One fault, in words, and the command that puts it right."""

    fault: Fault
    message: str
    fix: str

    def error(self) -> MachineError:
        """The refusal."""
        return MachineError(self.message, hint=self.fix)


def inspect_home(home: Path) -> tuple[HomeFinding, ...]:
    """What is wrong with `home` for the user of this process; empty where all is well, or there is no home yet."""
    return find_faults(tuple(_entries(home)), user=os.geteuid(), name_of=user_name)


def require_trust(home: Path) -> None:
    """Raise MachineError, with the first of what is wrong, where `home` cannot be trusted."""
    for finding in inspect_home(home):
        raise finding.error()


def refuse_sudo(home: Path, environ: Mapping[str, str]) -> None:
    """Raise MachineError where `sudo` is about to make a home for root among the files of the user who typed it."""
    uid = environ.get("SUDO_UID", "")
    is_borrowed = os.geteuid() == ROOT and uid.isdigit() and int(uid) != ROOT and not home.exists()
    if is_borrowed and _owner_of(home.parent) == int(uid):
        message = f"you are root, and {home.parent} belongs to {_who(int(uid), user_name)}: {home} would belong to root"
        raise MachineError(message, hint=_as_owner(int(uid), user_name))


def find_faults(entries: Sequence[HomeEntry], *, user: int, name_of: NameOf) -> tuple[HomeFinding, ...]:
    """The faults of a home, at most one of a kind; the first of `entries` is the home itself."""
    if not entries:
        return ()
    home, *inside = entries
    found = (_writable(home, inside), _owned(home, inside, user, name_of), _unusable(entries))
    return tuple(one for one in found if one is not None)


def user_name(uid: int) -> str | None:
    """What the system calls the user; None where it has no name for it."""
    import pwd  # noqa: PLC0415 - only where something is wrong

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return None


# -- judging


def _writable(home: HomeEntry, inside: Sequence[HomeEntry]) -> HomeFinding | None:
    """Files count only where others can get at them: nobody enters a home of mode 0700."""
    if home.mode & OTHERS_WRITE:
        message = f"others can write in {home.path} (mode {_mode(home)}): trust nothing in it until you have checked it"
        return HomeFinding(fault=Fault.WRITABLE, message=message, fix=_shut(home.path))
    reach = (home.mode & OTHERS_ENTER) << 1
    open_ones = [one.path for one in inside if one.mode & OTHERS_WRITE & reach and not stat.S_ISSOCK(one.mode)]
    if not open_ones:
        return None
    message = f"others can write to {_listed(open_ones, home.path)} in {home.path}"
    return HomeFinding(fault=Fault.WRITABLE, message=message, fix=_shut(*open_ones))


def _owned(home: HomeEntry, inside: Sequence[HomeEntry], user: int, name_of: NameOf) -> HomeFinding | None:
    strange = [one for one in (home, *inside) if one.owners - {user}]
    if not strange:
        return None
    owner = min(uid for one in strange for uid in one.owners - {user})
    who = _who(owner, name_of)
    you = "you are root" if user == ROOT else f"not to you (uid {user})"
    if home in strange:
        message = f"{home.path} belongs to {who}, {'and ' if user == ROOT else ''}{you}"
        fix = _as_owner(owner, name_of) if user == ROOT else _take_over(home)
        return HomeFinding(fault=Fault.OWNER, message=message, fix=fix)
    names = _listed([one.path for one in strange], home.path)
    verb = "belongs" if len(strange) == 1 else "belong"
    message = f"{names} in {home.path} {verb} to {who}, {'and ' if user == ROOT else ''}{you}"
    return HomeFinding(fault=Fault.OWNER, message=f"{message}{_warning(strange)}", fix=_adopt(home.path, strange, user))


def _unusable(entries: Sequence[HomeEntry]) -> HomeFinding | None:
    shut = [one for one in entries if not one.can_use]
    if not shut:
        return None
    home = entries[0]
    names = str(home.path) if shut[0] is home else f"{_listed([one.path for one in shut], home.path)} in {home.path}"
    message = f"you cannot read {names} (mode {_mode(shut[0])})"
    return HomeFinding(fault=Fault.UNUSABLE, message=message, fix=f"chmod u+rwX {_words(one.path for one in shut)}")


def _warning(strange: Sequence[HomeEntry]) -> str:
    """A new owner does not make planted settings safe."""
    names = {one.path.name for one in strange}
    return f"; read {CONFIG} before you take it over" if CONFIG in names else ""


def _adopt(home: Path, strange: Sequence[HomeEntry], user: int) -> str:
    become = f"{'' if user == ROOT else 'sudo '}chown -hR {user} {_quoted(home)}"
    is_token_known = any(one.path.name == TOKEN for one in strange)
    return f"{become} && stigmer config rotate-token" if is_token_known else become


def _take_over(home: HomeEntry) -> str:
    """What is in a folder of somebody else's is his, and nothing to be taken over."""
    if home.folder_uid == home.uid != ROOT:
        return "unset STIGMER_HOME"
    return f'sudo chown -hR "$(id -u)" {_quoted(home.path)}'


def _as_owner(owner: int, name_of: NameOf) -> str:
    return f"sudo -H -u {name_of(owner) or _quoted(f'#{owner}')} stigmer up"


def _shut(*paths: Path) -> str:
    return f"chmod go-w {_words(paths)}"


def _who(uid: int, name_of: NameOf) -> str:
    name = name_of(uid)
    return f"{name} (uid {uid})" if name else f"uid {uid}"


def _listed(paths: Sequence[Path], home: Path) -> str:
    names = [str(path.relative_to(home)) for path in paths[:NAMED_MAX]]
    more = f" and {len(paths) - NAMED_MAX} more" if len(paths) > NAMED_MAX else ""
    return f"{', '.join(names)}{more}"


def _mode(entry: HomeEntry) -> str:
    return f"{stat.S_IMODE(entry.mode):04o}"


def _words(paths: Iterable[Path]) -> str:
    return " ".join(map(_quoted, paths))


def _quoted(text: object) -> str:
    return shlex.quote(str(text))


# -- looking


def _entries(home: Path) -> Iterator[HomeEntry]:
    """The home, what lies in it, and what lies in its folders; nothing where there is none."""
    first = _entry(home)
    if first is None:
        return
    yield replace(first, folder_uid=_owner_of(home.parent))
    if not stat.S_ISDIR(first.mode):
        return
    for path in _names(home):
        entry = _entry(path)
        if entry is not None:
            yield entry
            if path.name in FOLDERS and stat.S_ISDIR(entry.mode):
                yield from filter(None, map(_entry, _names(path)))


def _names(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as found:
            return sorted(folder / one.name for one, _ in zip(found, range(ENTRIES_MAX), strict=False))
    except OSError:
        return []


def _entry(path: Path) -> HomeEntry | None:
    try:
        there = path.lstat()
        is_link = stat.S_ISLNK(there.st_mode)
        found = path.stat() if is_link else there
    except OSError:  # gone meanwhile, or a link that leads nowhere
        return None
    wanted = os.R_OK | os.X_OK if stat.S_ISDIR(found.st_mode) else os.R_OK
    # root may lead us wherever it likes, with links or without
    link_uid = there.st_uid if is_link and there.st_uid != ROOT else None
    return HomeEntry(path=path, uid=found.st_uid, mode=found.st_mode, link_uid=link_uid, can_use=can(path, wanted))


def _owner_of(path: Path) -> int | None:
    try:
        return path.stat().st_uid
    except OSError:
        return None


def can(path: Path, wanted: int) -> bool:
    """Whether this process may do with `path` what `wanted` (R_OK, W_OK, X_OK) says, by its effective user."""
    is_effective = os.access in os.supports_effective_ids
    return os.access(path, wanted, effective_ids=is_effective)
