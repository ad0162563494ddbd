"""Log lines of several parts, from rotated files too, merged and followed."""

import asyncio
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from stigmer_cli.cli.output import Output
from stigmer_cli.cli.stack.logs import Printer
from stigmer_cli.clock import SystemClock
from stigmer_cli.settings import Home
from stigmer_cli.stack.logs import Follower, read_lines


def line(second: int, text: str) -> str:
    return f'{{"timestamp": "2026-05-04T12:00:{second:02}.000Z", "event": "{text}"}}\n'


def write(home: Home, name: str, text: str) -> None:
    home.logs.mkdir(exist_ok=True)
    with (home.logs / name).open("a") as file:
        file.write(text)


def texts(lines: object) -> list[str]:
    return [f"{one.part}:{one.to_json()['event']['event']}" for one in lines]  # type: ignore[attr-defined]


def test_parts_are_merged_in_order_of_time_from_the_oldest_rotated_file_on(home: Home) -> None:
    write(home, "server.log.2", line(1, "a"))
    write(home, "server.log.1", line(3, "c"))
    write(home, "server.log", line(5, "e"))
    write(home, "runner.log", line(2, "b") + line(4, "d"))

    found = texts(read_lines(home, ("server", "runner")))

    assert found == ["server:a", "runner:b", "server:c", "runner:d", "server:e"]


def test_a_line_without_a_time_stays_behind_the_line_before_it(home: Home) -> None:
    write(home, "server.log", line(1, "a") + "Traceback\n  File\n" + line(5, "e"))
    write(home, "runner.log", line(2, "b"))

    found = [one.text for one in read_lines(home, ("server", "runner"))]

    assert found == [line(1, "a").strip(), "Traceback", "  File", line(2, "b").strip(), line(5, "e").strip()]


def test_lines_before_the_first_time_come_just_before_it(home: Home) -> None:
    write(home, "temporal.log", "banner\n" + line(3, "c"))
    write(home, "server.log", line(1, "a"))

    found = [one.text for one in read_lines(home, ("temporal", "server"))]

    assert found == [line(1, "a").strip(), "banner", line(3, "c").strip()]


def test_a_line_of_another_day_has_its_date_and_empty_fields_are_left_out(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    write(
        home,
        "server.log",
        '{"timestamp": "2026-05-04T12:00:01.000Z", "event": "a", "empty": "", "none": null, "n": 0}\n',
    )
    [found] = read_lines(home, ("server",))
    Printer(Output(), today=found.at + timedelta(days=1)).show(found)
    Printer(Output(), today=found.at).show(found)
    time = f"{found.at.astimezone():%H:%M:%S}.000"
    other, same = capsys.readouterr().out.splitlines()
    assert other.split() == ["server", f"{found.at.astimezone():%Y-%m-%d}", time, "a", "n=0"]
    assert same.split() == ["server", time, "a", "n=0"]


def test_tail_counts_lines_of_each_part_and_since_leaves_out_older_ones(home: Home) -> None:
    write(home, "server.log", line(1, "a") + line(3, "c") + line(5, "e"))
    write(home, "runner.log", line(2, "b") + line(4, "d"))

    assert texts(read_lines(home, ("server", "runner"), tail=1)) == ["runner:d", "server:e"]
    assert list(read_lines(home, ("server", "runner"), tail=10**20)) == list(read_lines(home, ("server", "runner")))
    since = datetime(2026, 5, 4, 12, 0, 3, tzinfo=UTC)
    assert texts(read_lines(home, ("server", "runner"), since=since)) == ["server:c", "runner:d", "server:e"]


def test_a_clock_that_was_set_back_leaves_lines_in_order_each_with_its_own_time(home: Home) -> None:
    write(home, "server.log", line(50, "ahead") + line(10, "right again"))
    found = list(read_lines(home, ("server",), since=datetime(2026, 5, 4, 12, 0, 20, tzinfo=UTC)))
    assert texts(found) == ["server:ahead", "server:right again"]
    assert [one.to_json()["at"] for one in found] == ["2026-05-04T12:00:50+00:00", "2026-05-04T12:00:10+00:00"]


def test_no_logs_at_all_are_no_lines(home: Home) -> None:
    assert list(read_lines(home, ("server",))) == []


async def test_following_loses_and_repeats_nothing_across_a_rotation(home: Home) -> None:
    write(home, "server.log", line(1, "a") + line(2, "b") + '{"timestamp": "2026-05-04T12:00:03')
    with Follower(home, ("server", "runner")) as follower:
        write(home, "server.log", '.000Z", "event": "c"}\n')
        before = texts(read_lines(home, ("server", "runner"), ends=follower.ends))
        after: list[str] = []
        async with asyncio.timeout(10):
            async for one in follower.lines(clock=SystemClock()):
                after += texts([one])
                step(home.logs, home, len(after))
                if len(after) == 4:
                    break

    assert before == ["server:a", "server:b"]
    assert after == ["server:c", "server:d", "server:e", "runner:f"]


def step(logs: Path, home: Home, count: int) -> None:
    """After the first line the file is rotated, with a line on either side; then another part begins to write."""
    if count == 1:
        write(home, "server.log", line(4, "d"))
        (logs / "server.log").rename(logs / "server.log.1")
        write(home, "server.log", line(5, "e"))
    if count == 3:
        write(home, "runner.log", line(6, "f"))


async def test_a_log_that_is_emptied_in_its_place_is_followed_from_its_beginning(home: Home) -> None:
    write(home, "server.log", line(1, "a") * 100)
    found: list[str] = []
    with Follower(home, ("server",)) as follower:
        write(home, "server.log", line(2, "b"))
        async with asyncio.timeout(10):
            async for one in follower.lines(clock=SystemClock()):
                found += texts([one])
                if found == ["server:b"]:
                    os.truncate(home.logs / "server.log", 0)
                    write(home, "server.log", line(3, "c"))
                if len(found) == 2:
                    break
    assert found == ["server:b", "server:c"]
