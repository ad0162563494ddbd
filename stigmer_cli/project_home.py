"""Finds the home of the project that a working directory lies in, and tells whether that home was made here.

A home records the folder that it was made in (`home.json`). A checkout, a copy and another disk have other folders, so
that a `.stigmer` which came with somebody's repository counts for nothing until `stigmer init` takes it over: a setting
in it could name the program that `up` starts, or the address that an API key is sent to.
"""

import json
import os
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from stigmer_cli.files import OWNER_ONLY, folder_number, write_atomically
from stigmer_cli.home_trust import Fault, HomeFinding

FOLDER_NAME = ".stigmer"
ORIGIN_FILE = "home.json"
TAKE_OVER = "look into it, then take it over: stigmer init"


class HomeSource(StrEnum):
    """Why a home is the one to use."""

    VARIABLE = "STIGMER_HOME"
    PROJECT = "project"
    DEFAULT = "default"


class Origin(StrEnum):
    """Where the content of a home comes from."""

    EMPTY = "empty"
    """There is none: no home, or nothing in it."""

    OWN = "own"
    UNRECORDED = "unrecorded"
    """An older version made it, or a checkout."""

    MOVED = "moved"
    """It was made in a folder that is gone: moved to another disk, or restored."""

    COPY = "copy"
    """It was made in another folder, which is still there."""


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """What `home.json` says of a home; `made_at` is the path it had then, None where nothing is recorded.

    `original` is the home that this one was copied from, now or before it was taken over; None: it was not copied.
    """

    origin: Origin
    made_at: Path | None = None
    original: Path | None = None


def find_project_home(start: Path | None, default: Path | None) -> Path | None:
    """The nearest `.stigmer` folder at or above `start`; None where there is none, or it is the home `default`."""
    if start is None:
        return None
    for folder in (start, *start.parents):
        found = folder / FOLDER_NAME
        if os.path.isdir(found):  # noqa: PTH112 - False, too, for what this user may not look at
            return None if default is not None and _is_same_folder(found, default) else found
    return None


def find_provenance(home: Path) -> Provenance:
    """Where the content of `home` comes from."""
    try:
        if not any(home.iterdir()):
            return Provenance(origin=Origin.EMPTY)
        here = folder_number(home)
    except OSError:
        return Provenance(origin=Origin.EMPTY)
    try:
        found = json.loads((home / ORIGIN_FILE).read_bytes())
        made_at, made_in = Path(found["path"]), int(found["folder"])
        original = Path(found["copyOf"]) if found.get("copyOf") else None
    except (OSError, ValueError, KeyError, TypeError):
        return Provenance(origin=Origin.UNRECORDED)
    if made_in == here:
        return Provenance(origin=Origin.OWN, made_at=made_at, original=original)
    with suppress(OSError):
        if folder_number(made_at) == made_in:
            return Provenance(origin=Origin.COPY, made_at=made_at, original=made_at)
    return Provenance(origin=Origin.MOVED, made_at=made_at, original=original)


def record_origin(home: Path, found: Provenance) -> None:
    """Record that what is in `home` belongs to this folder; `found` is what was recorded before. Raises OSError."""
    if found.origin is Origin.OWN and found.made_at and _is_same_folder(found.made_at, home):
        return
    original = {"copyOf": str(found.original)} if found.original else {}
    text = json.dumps({"path": str(home), "folder": folder_number(home), **original}, indent=2) + "\n"
    write_atomically(home / ORIGIN_FILE, text.encode(), OWNER_ONLY)


def find_doubt(home: Path) -> HomeFinding | None:
    """Why the project's `home` cannot be trusted as it is; None where it was made here, or nothing is in it."""
    found = find_provenance(home)
    if found.origin in (Origin.OWN, Origin.EMPTY):
        return None
    whence = (
        f"it is a copy of {found.made_at}" if found.origin is Origin.COPY else "it was moved, copied or checked out"
    )
    return HomeFinding(fault=Fault.OWNER, message=f"{home} was not made here: {whence}", fix=TAKE_OVER)


def _is_same_folder(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return one == other
