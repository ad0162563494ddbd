"""Seeded bugs of the runner and of what watches its event loop."""

from tests.bugs.bug import Bug

HEARTBEATS = "tests/integration/runner/test_heartbeats.py"
WATCHDOG = "tests/unit/test_watchdog.py"

BUGS: tuple[Bug, ...] = (
    Bug(
        name="the model library is loaded on the event loop",
        file="runner/model/library.py",
        old="            await asyncio.to_thread(load)\n",
        new="            load()\n",
        caught_by=(HEARTBEATS,),
    ),
    Bug(
        name="time that the machine owes counts as a block",
        file="watchdog.py",
        old="    owed_s = after.delay_s - before.delay_s + excused_s\n",
        new="    owed_s = 0.0 * excused_s\n",
        caught_by=(WATCHDOG,),
    ),
)
