"""Mutants of the runner and of the watchdog of its event loop."""

from tests.mutants.mutant import Mutant

HEARTBEATS = "tests/integration/runner/test_heartbeats.py"
WATCHDOG = "tests/unit/test_watchdog.py"
SERVER_LINK = "tests/unit/runner/test_server_link.py"
WHOSE_SERVER = "tests/integration/runner/test_foreign_server.py"
PERFORMANCE = "tests/unit/runner/test_attempt.py"

MUTANTS: tuple[Mutant, ...] = (
    Mutant(
        name="the model library is loaded on the event loop",
        file="runner/model/library.py",
        old="            await asyncio.to_thread(load, provider)\n",
        new="            load(provider)\n",
        caught_by=(HEARTBEATS,),
    ),
    Mutant(
        name="time that the machine owes counts as a block",
        file="watchdog.py",
        old="    owed_s = after.delay_s - before.delay_s + excused_s\n",
        new="    owed_s = 0.0 * excused_s\n",
        caught_by=(WATCHDOG,),
    ),
    Mutant(
        name="a runner without a server polls on",
        file="runner/worker_pool.py",
        old="        closed = self._gate.why_closed(self.task_queue)\n",
        new='        closed = self._gate.why_closed(self.task_queue) and ""\n',
        caught_by=(WHOSE_SERVER,),
    ),
    Mutant(
        name="an answer of the server counts for ever",
        file="runner/server_link.py",
        old="SERVED_MAX_S = 2.5\n",
        new="SERVED_MAX_S = 2e9\n",
        caught_by=(SERVER_LINK, WHOSE_SERVER),
    ),
    Mutant(
        name="a server of another store is taken for the runner's own",
        file="runner/reports.py",
        old="        if found is None:\n            raise WrongServer",
        new="        if found is None:\n            return None  # type: ignore\n            raise WrongServer",
        caught_by=(PERFORMANCE,),
    ),
    Mutant(
        name="the identity of the runner's Temporal is assumed",
        file="runner/poll_gate.py",
        old="    if any(ours and theirs and ours != theirs for ours, theirs in pairs):\n",
        new="    if any(ours is theirs is None for ours, theirs in pairs):\n",
        caught_by=(SERVER_LINK, WHOSE_SERVER),
    ),
)
