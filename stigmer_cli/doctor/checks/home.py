"""Checks of category Stack about its home: a folder for its owner alone, on a disk that has room."""

import shlex

from stigmer_cli.doctor.check import Found, Scope, check, failed, passed, skipped, warned
from stigmer_cli.doctor.facts.facts import Facts
from stigmer_cli.doctor.repairs.modes import SHUT_HOME
from stigmer_cli.doctor.text import size

OTHERS = 0o077
FREE_MIN_BYTES = 16 * 1024 * 1024
FREE_LOW_BYTES = 256 * 1024 * 1024
FREE_MIN_FILES = 100


@check("STG101", "home", repair=SHUT_HOME)
async def home(facts: Facts) -> Found:
    """Everything of a stack lies in one folder, the home (~/.stigmer, a project's .stigmer, or STIGMER_HOME).

    It must be closed to others: it holds the token and everything that agents said.
    """
    seen, path = await facts.home(), facts.settings.home.path
    name = shlex.quote(str(path))
    evidence = {"home": str(path), "mode": f"{seen.mode:04o}", "owner": seen.owner}
    if not seen.exists:
        return passed(f"{path} does not exist yet; `stigmer up` makes it", home=str(path))
    if seen.mode & OTHERS:
        return warned(f"others may enter {path} (mode {seen.mode:04o})", f"chmod 700 {name}", **evidence)
    return passed(f"{path} is a folder for you alone", **evidence)


@check("STG102", "disk space", needs=("STG101",), scope=Scope.MACHINE)
async def disk(facts: Facts) -> Found:
    """An execution is accepted only once its row is on disk, so a full disk means that nothing is accepted.

    What was accepted before stays, and work continues by itself once there is room.
    """
    seen, path = await facts.home(), facts.settings.home.path
    if not seen.exists:
        return skipped("there is no home yet")
    hint = f"du -sh {shlex.quote(str(path))}/*; df -h {shlex.quote(str(path))}"
    free = size(seen.free_bytes)
    evidence = {"freeBytes": seen.free_bytes, "freeFiles": seen.free_files}
    if seen.free_bytes < FREE_MIN_BYTES:
        return failed(f"the disk of {path} is full: {free} free", hint, **evidence)
    if seen.free_files is not None and seen.free_files < FREE_MIN_FILES:
        return failed(f"the disk of {path} takes no more files: {seen.free_files} inodes free", hint, **evidence)
    if seen.free_bytes < FREE_LOW_BYTES:
        return warned(f"the disk of {path} is nearly full: {free} free", hint, **evidence)
    return passed(f"{free} free for {path}", **evidence)
