"""How an answer is brought to the server."""

import asyncio

import pytest

from stigmer_cli.runner.transcript import CHUNK_CHARS_MAX, CUT_MARK, OUTPUT_CHARS_MAX, Transcript
from tests.support.fakes_temporal import in_virtual_time


class Sink:
    """Takes pieces, and checks that they leave no hole."""

    def __init__(self, *, wants: int = 10_000) -> None:
        self.chunks: list[str] = []
        self.at: list[float] = []
        self._wants = wants

    async def __call__(self, offset: int, text: str) -> bool:
        assert offset == sum(len(chunk) for chunk in self.chunks)
        self.chunks.append(text)
        self.at.append(round(asyncio.get_running_loop().time(), 3))
        return len(self.chunks) < self._wants


def delivered(sink: Sink, writes: list[tuple[float, str]]) -> bool:
    async def main() -> bool:
        transcript = Transcript(sink)
        async with asyncio.TaskGroup() as group:
            task = group.create_task(transcript.deliver_until_closed())
            for pause_s, text in writes:
                await asyncio.sleep(pause_s)
                transcript.write(text)
            transcript.close()
        return task.result()

    return in_virtual_time(main())


def test_the_first_word_goes_within_a_moment_and_the_next_ones_together() -> None:
    sink = Sink()
    assert delivered(sink, [(0.0, "a"), (0.05, "b"), (0.01, "c"), (0.3, "d")])
    assert (sink.chunks, sink.at) == (["a", "bc", "d"], [0.02, 0.17, 0.36])


@pytest.mark.parametrize(("pause_s", "chunks", "tail"), [(0.01, [], (0, "abc")), (0.1, ["a", "b"], (2, "c"))])
def test_what_is_pending_at_the_end_is_the_tail_that_goes_with_the_outcome(
    pause_s: float, chunks: list[str], tail: tuple[int, str]
) -> None:
    sink = Sink()
    transcript = Transcript(sink)

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(transcript.deliver_until_closed())
            transcript.write("a")
            await asyncio.sleep(pause_s)
            transcript.write("b")
            await asyncio.sleep(pause_s * 2 if pause_s > 0.05 else 0)
            transcript.write("c")
            transcript.close(has_tail=True)

    in_virtual_time(main())
    assert (sink.chunks, transcript.tail) == (chunks, tail)


def test_a_long_end_is_delivered_but_for_the_last_piece() -> None:
    sink = Sink()
    transcript = Transcript(sink)

    async def main() -> None:
        transcript.write("x" * (CHUNK_CHARS_MAX + 1))
        transcript.close(has_tail=True)
        await transcript.deliver_until_closed()

    in_virtual_time(main())
    assert ([len(chunk) for chunk in sink.chunks], transcript.tail) == ([CHUNK_CHARS_MAX], (CHUNK_CHARS_MAX, "x"))


def test_four_kilobytes_do_not_wait() -> None:
    sink = Sink()
    delivered(sink, [(0.0, "a"), (0.03, "x" * 5000), (1.0, "z")])
    assert (sink.at, len(sink.chunks[1])) == ([0.02, 0.03, 1.03], 5000)


def test_a_long_answer_goes_in_pieces_of_a_bounded_size() -> None:
    sink = Sink()
    delivered(sink, [(0.0, "x" * (2 * CHUNK_CHARS_MAX + 1))])
    assert [len(chunk) for chunk in sink.chunks] == [CHUNK_CHARS_MAX, CHUNK_CHARS_MAX, 1]


def test_nothing_written_is_nothing_delivered() -> None:
    sink = Sink()
    assert delivered(sink, [])
    assert sink.chunks == []


def test_a_server_that_wants_no_more_gets_no_more() -> None:
    sink = Sink(wants=1)
    assert not delivered(sink, [(0.0, "a"), (0.5, "b"), (0.5, "c")])
    assert sink.chunks == ["a"]


@pytest.mark.parametrize("size", [OUTPUT_CHARS_MAX, OUTPUT_CHARS_MAX + 1])
def test_an_answer_is_cut_where_it_gets_too_long_and_says_so(size: int) -> None:
    async def main() -> tuple[bool, str]:
        transcript = Transcript(Sink())
        return transcript.write("x" * size), transcript.text

    goes_on, text = in_virtual_time(main())
    assert goes_on is (size == OUTPUT_CHARS_MAX)
    assert text == "x" * OUTPUT_CHARS_MAX + ("" if goes_on else CUT_MARK)


def test_half_characters_and_nul_are_no_part_of_an_answer() -> None:
    sink = Sink()
    delivered(sink, [(0.0, "a\ud800b\0c")])
    assert sink.chunks == ["a?bc"]
