"""A check of category Stack about what its parts were started from: whether it is still there."""

from stigmer_cli.doctor.check import BUSY_S, Found, Scope, Severity, check, passed, skipped, warned
from stigmer_cli.doctor.facts.facts import Facts
from stigmer_cli.doctor.facts.pid_visibility import ELSEWHERE, is_out_of_sight
from stigmer_cli.stack.gone_programs import WAY_OUT, describe_gone
from stigmer_cli.stack.parts import SUPERVISOR


@check("STG127", "installation", needs=("STG104",), severity=Severity.WARNING, timeout_s=BUSY_S, scope=Scope.MACHINE)
async def installation(facts: Facts) -> Found:
    """An upgrade, or a virtual environment that is moved or removed, takes away the programs of parts that run.

    They keep working with what they have loaded. One that ends cannot be started again by its supervisor, and a runner
    that needs a module which it has not loaded yet hands its work back and ends. `stigmer restart` starts all parts
    from the installation of this command.
    """
    if is_out_of_sight(await facts.supervisor()):
        return skipped(f"the stack runs {ELSEWHERE}; its programs cannot be seen from here")
    processes = await facts.processes()
    gone = {name: seen.gone_program for name, seen in processes.items() if seen.gone_program and name != SUPERVISOR}
    if gone:
        return warned(describe_gone(gone), WAY_OUT, gone=gone)
    return passed("the programs of all parts are where they were")
