"""What doctor says of the home and its disk, each from plain facts."""

import pytest

from stigmer_cli.doctor.checks import home
from stigmer_cli.doctor.facts.facts import (
    HomeSeen,
)
from tests.unit.doctor.facts_builder import (
    brief,
    healthy,
)


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (HomeSeen(), ("pass", "/home/ada/.stigmer is a folder for you alone", "")),
        (
            HomeSeen(exists=False),
            ("pass", "/home/ada/.stigmer does not exist yet; `stigmer up` makes it", ""),
        ),
        (
            HomeSeen(mode=0o755),
            ("warn", "others may enter /home/ada/.stigmer (mode 0755)", "chmod 700 /home/ada/.stigmer"),
        ),
    ],
)
async def test_home(seen: HomeSeen, expected: tuple[str, str, str]) -> None:
    assert brief(await home.home(healthy(home=seen))) == expected


@pytest.mark.parametrize(
    ("seen", "result", "message"),
    [
        (HomeSeen(free_bytes=5 << 30), "pass", "5.0 GiB free for /home/ada/.stigmer"),
        (HomeSeen(free_bytes=100 << 20), "warn", "the disk of /home/ada/.stigmer is nearly full: 100.0 MiB free"),
        (HomeSeen(free_bytes=300_000), "fail", "the disk of /home/ada/.stigmer is full: 293.0 KiB free"),
        (HomeSeen(free_files=3), "fail", "the disk of /home/ada/.stigmer takes no more files: 3 inodes free"),
        (HomeSeen(exists=False), "skip", "there is no home yet"),
    ],
)
async def test_disk(seen: HomeSeen, result: str, message: str) -> None:
    assert brief(await home.disk(healthy(home=seen)))[:2] == (result, message)
