"""Repairs file modes: removes the permissions of others from what only the owner may read."""

import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from stigmer_cli.daemon_thread import in_thread
from stigmer_cli.doctor.repairs.fix import ActResult, Fix, done, left

if TYPE_CHECKING:
    from stigmer_cli.doctor.check import Judged
    from stigmer_cli.doctor.facts.facts import Facts

OTHERS = stat.S_IRWXG | stat.S_IRWXO


async def shut_home(facts: "Facts", _: "Judged") -> ActResult:
    """Remove the permissions of others from the folders of the home."""
    home = facts.settings.home
    return await in_thread(lambda: _close_to_others([home.path, home.data, home.logs, home.run]))


async def shut_token(facts: "Facts", _: "Judged") -> ActResult:
    """Remove the permissions of others from the token file."""
    result = await in_thread(lambda: _close_to_others([facts.settings.home.token_file]))
    if result != _NOTHING_TO_SHUT:
        return done(f"{result.message}; others may have read it before: stigmer config rotate-token makes a new one")
    return left("whether there is a token, and which, is yours to decide")


_NOTHING_TO_SHUT = left("its rights are not what is wrong")


def _close_to_others(paths: Sequence[Path]) -> ActResult:
    """Remove the permissions of others from those of `paths` that this user owns."""
    shut = []
    for path in paths:
        try:
            found = path.stat()
            if found.st_uid == os.geteuid() and found.st_mode & OTHERS:
                path.chmod(stat.S_IMODE(found.st_mode) & ~OTHERS)
                shut.append(f"{path} (was {stat.S_IMODE(found.st_mode):04o})")
        except FileNotFoundError:
            continue
    return done(f"removed the rights of others from {', '.join(shut)}") if shut else _NOTHING_TO_SHUT


SHUT_HOME = Fix(action="remove the rights of others from the folders of the home", act=shut_home)
SHUT_TOKEN = Fix(action="make the token file private", act=shut_token)
