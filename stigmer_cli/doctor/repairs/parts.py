"""Repairs a part that has no process: its supervisor starts it again."""

from typing import TYPE_CHECKING

from stigmer_cli.doctor.repairs.fix import ActResult, Fix, done, failed, left
from stigmer_cli.stack.failure import is_program_gone
from stigmer_cli.supervisor.child import ChildState
from stigmer_cli.supervisor.control import Control, Unresponsive, connect
from stigmer_cli.supervisor.record import ChildRecord

if TYPE_CHECKING:
    from stigmer_cli.doctor.check import Judged
    from stigmer_cli.doctor.facts.facts import Facts

ANSWER_S = 2.0
STANDS_S = 1.0
"""A part that has run for so long started successfully."""

PROBE_EVERY_S = 0.1
SETTLES_S = 20.0


async def start_part(facts: "Facts", one: "Judged") -> ActResult:
    """Start a part that has no process, through its supervisor, and wait until it has run for `STANDS_S` seconds."""
    name = one.check.part
    seen = await facts.supervisor()
    if seen.record is None or not seen.is_answering:
        return left("the supervisor, which would start it, does not answer")
    process = (await facts.processes()).get(name)
    if process is not None and process.is_alive:
        return left(
            f"it has a process (pid {process.pid}), and a running process is never stopped or woken without asking"
        )
    child = seen.record.child(name)
    if child is not None and is_program_gone(child):
        return left("its supervisor has only the old path of its program: type stigmer restart")
    taken = [port for port in await facts.ports() if port.part == name and not (port.is_free or port.is_ours)]
    if taken:
        return left(f"it cannot start while port {taken[0].port} is held by {taken[0].owner}")
    try:
        return await _start(facts, name)
    except Unresponsive as error:
        return failed(error.message)


async def _start(facts: "Facts", name: str) -> ActResult:
    control = await connect(facts.settings.home.run, within_s=ANSWER_S)
    if control is None:
        return left("the supervisor, which would start it, is gone")
    async with control:
        answer = await control.ask("start", name)
        if not answer.get("ok"):
            return left(str(answer.get("error") or "the supervisor does not know it"))
        while not _is_decided(child := await _child(control, name)):
            await facts.clock.sleep(PROBE_EVERY_S)
    if child.failures:
        why = child.last_exit.why if child.last_exit else "no reason known"
        return failed(f"started {name}, and it ended again: {why}")
    return done(f"started {name} (pid {child.id.pid if child.id else '?'})")


async def _child(control: Control, name: str) -> ChildRecord:
    child = (await control.status()).child(name)
    if child is None:
        raise Unresponsive(f"the supervisor has no {name} any more")
    return child


def _is_decided(child: ChildRecord) -> bool:
    """Whether it runs stably or has failed; `start` reset its earlier failures."""
    stands = child.state == ChildState.RUNNING and (child.uptime_s or 0.0) >= STANDS_S
    return stands or child.failures > 0


START_PART = Fix(action="start the part again through its supervisor", act=start_part, settles_s=SETTLES_S)
