"""A turn with many long calls can be reported, whatever they say."""

import pytest

from stigmer_cli.api.waiting import WaitRequest
from stigmer_cli.domain.step import Effect
from stigmer_cli.domain.waiting import CALLS_MAX
from stigmer_cli.runner.agent.approvals import Approvals
from stigmer_cli.runner.agent.budget import Budget
from stigmer_cli.runner.agent.conversation import Conversation
from stigmer_cli.runner.waits import Waits
from stigmer_cli.server.guard import BODY_MAX
from stigmer_cli.tool_server.result import Tool
from tests.support.fakes_temporal import LoopClock, in_virtual_time
from tests.support.memory_journal import MemoryJournal

SEND = Tool(name="send", description="", schema={"type": "object"}, effect=Effect.ONCE, needs_approval=True)


def asked(texts: list[str]) -> WaitRequest:
    """The report of a turn that calls `send` with each of `texts`."""
    conversation = Conversation(MemoryJournal(), lambda _text: None, Budget(None, None, clock=LoopClock()))
    conversation.begin_turn()
    conversation.note_calls([(f"call-{number}", "send", {"text": text}) for number, text in enumerate(texts)])
    with pytest.raises(Waits) as caught:
        in_virtual_time(Approvals({"send": SEND}, conversation).find_ruling("/turns/0/calls/0", {"text": texts[0]}))
    wait = caught.value.wait
    return WaitRequest(
        epoch=1, run="run", attempt=1, wait_for=wait.wait_for, step=wait.step, cause=wait.cause, calls=list(wait.calls)
    )


@pytest.mark.parametrize("character", ["x", '"', "\u00e9", "\\"])
def test_a_report_of_many_long_calls_is_no_longer_than_the_server_takes(character: str) -> None:
    length = 200_000 // len(character.encode())
    report = asked([character * (length // 2), *[character * length] * 40, "short"])
    assert len(report.model_dump_json(by_alias=True).encode()) < BODY_MAX
    assert (len(report.calls), len({call.arguments_hash for call in report.calls})) == (42, 3)
    assert report.calls[0].arguments is not None
    assert report.calls[-1].arguments == '{"text":"short"}'
    assert report.calls[-2].arguments is None


def test_short_calls_are_shown_all() -> None:
    assert all(call.arguments for call in asked(["x" * 5_000] * CALLS_MAX).calls)
