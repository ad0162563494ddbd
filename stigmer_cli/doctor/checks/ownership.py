"""Checks about who owns the home: they come first, because nothing in another user's folder can be trusted.

Settings (STG501) need them, in the order in which they are repaired; while one fails, settings are not read.
"""

from stigmer_cli.doctor.check import Found, check, failed, passed
from stigmer_cli.doctor.facts.facts import Facts
from stigmer_cli.home_trust import Fault


@check("STG506", "owner of the home")
async def owner(facts: Facts) -> Found:
    """The home and each file in it must belong to the user who uses it.

    config.toml names the program that runs as Temporal, and the token lets its reader run agents. Files of root usually
    come from one `sudo stigmer`, files of a user id without a name from a restored backup. While some belong to another
    user, nothing in the home is read, and commands that start or change something refuse the home. The same is true of
    a project's `.stigmer` that was not made where it is: `stigmer init` takes it over.
    """
    return await _find_doubt(facts, Fault.OWNER) or passed("the home and all in it are yours")


@check("STG507", "who can write")
async def writable(facts: Facts) -> Found:
    """Anyone who can write in the home chooses what `stigmer up` runs.

    A home that group or others could write in may hold something that they put there: look through it before you close
    it. A home that others can only read is closed by `stigmer up` itself.
    """
    return await _find_doubt(facts, Fault.WRITABLE) or passed("only you can write in the home")


@check("STG508", "access to the home")
async def usable(facts: Facts) -> Found:
    """You may own files and folders of the home and still have no access to them.

    A `chmod` does that, or a backup that kept no modes.
    """
    if doubted := await _find_doubt(facts, Fault.UNUSABLE):
        return doubted
    seen, path = await facts.home(), facts.settings.home.path
    if seen.why_not_writable and not seen.is_read_only:
        return failed(f"the home cannot be written: {seen.why_not_writable}", seen.fix, home=str(path))
    return passed("you can read and write the home")


@check("STG509", "file system of the home")
async def file_system(facts: Facts) -> Found:
    """A file system turns read-only after an error of its disk.

    A home on a disk that is not mounted looks as if it did not exist. `stigmer down` works all the same.
    """
    seen, path = await facts.home(), facts.settings.home.path
    if seen.missing_mount is not None:
        message = f"{path} lies on {seen.missing_mount}, which is in /etc/fstab and is not mounted"
        return failed(message, seen.fix, mount=str(seen.missing_mount))
    if seen.is_read_only:
        message = f"the home cannot be written: {seen.why_not_writable}"
        return failed(message, seen.fix, home=str(path))
    return passed("the file system of the home takes writes" if seen.exists else "there is no home yet")


async def _find_doubt(facts: Facts, fault: Fault) -> Found | None:
    """What is wrong, where the home has this fault."""
    seen, path = await facts.home(), facts.settings.home.path
    for doubt in seen.doubts:
        if doubt.fault is fault:
            return failed(doubt.message, doubt.fix, home=str(path), owner=seen.owner, mode=f"{seen.mode:04o}")
    return None
