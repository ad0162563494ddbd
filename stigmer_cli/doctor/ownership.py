"""Checks about whose home it is: before all others, because nothing that lies in somebody else's can be believed."""

from collections.abc import Awaitable, Callable

from stigmer_cli.doctor.check import Category, Check, Found, Severity, failed, passed
from stigmer_cli.doctor.facts import Facts
from stigmer_cli.home_trust import Fault

OWNER, WRITABLE, USABLE, FILE_SYSTEM = "STG506", "STG507", "STG508", "STG509"
FIRST = (WRITABLE, OWNER, USABLE)
"""In the order in which it is put right; while one of them fails, not even the settings are read."""


def without(fault: Fault, well: str) -> Callable[[Facts], Awaitable[Found]]:
    """The look for one fault of the home."""

    async def probe(facts: Facts) -> Found:
        seen, path = await facts.home(), facts.settings.home.path
        for doubt in seen.doubts:
            if doubt.fault is fault:
                return failed(doubt.message, doubt.fix, home=str(path), owner=seen.owner, mode=f"{seen.mode:04o}")
        if fault is Fault.UNUSABLE and seen.why_not_writable and not seen.is_read_only:
            return failed(f"the home cannot be written: {seen.why_not_writable}", seen.fix, home=str(path))
        return passed(well)

    return probe


async def file_system(facts: Facts) -> Found:
    """Whether what the home lies on is there, and takes writes."""
    seen, path = await facts.home(), facts.settings.home.path
    if seen.missing_mount is not None:
        message = f"{path} lies on {seen.missing_mount}, which is in /etc/fstab and is not mounted"
        return failed(message, seen.fix, mount=str(seen.missing_mount))
    if seen.is_read_only:
        message = f"the home cannot be written: {seen.why_not_writable}"
        return failed(message, seen.fix, home=str(path))
    return passed("the file system of the home takes writes" if seen.exists else "there is no home yet")


OWNERSHIP_CHECKS: tuple[Check, ...] = (
    Check(
        code=OWNER,
        category=Category.CONFIGURATION,
        name="owner of the home",
        severity=Severity.ERROR,
        probe=without(Fault.OWNER, "the home and all in it are yours"),
        explanation="The home and each file in it must belong to the user who uses it: config.toml names the program"
        " that runs as Temporal, and the token lets its reader run agents. Files of root usually come from one `sudo"
        " stigmer`, files of a number without a name from a restored backup. While some belong to another user,"
        " nothing in the home is read, and every command refuses it that starts or changes something.",
    ),
    Check(
        code=WRITABLE,
        category=Category.CONFIGURATION,
        name="who can write",
        severity=Severity.ERROR,
        probe=without(Fault.WRITABLE, "only you can write in the home"),
        explanation="Anyone who can write in the home chooses what `stigmer up` runs. A home that group or others could"
        " write in may hold something that they put there: look through it before you close it. A home that others can"
        " only read is closed by `stigmer up` itself.",
    ),
    Check(
        code=USABLE,
        category=Category.CONFIGURATION,
        name="access to the home",
        severity=Severity.ERROR,
        probe=without(Fault.UNUSABLE, "you can read and write the home"),
        explanation="Files and folders of the home that are yours may still be shut for you (`chmod`, or a backup that"
        " kept no modes).",
    ),
    Check(
        code=FILE_SYSTEM,
        category=Category.CONFIGURATION,
        name="file system of the home",
        severity=Severity.ERROR,
        probe=file_system,
        explanation="A file system turns read-only after an error of its disk, and a home on a disk that is not mounted"
        " looks as if there was none. `stigmer down` works all the same.",
    ),
)
