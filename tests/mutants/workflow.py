"""Mutants of workflows: what ends a wait, what is taken once, and what becomes of who loses a race."""

from tests.mutants.mutant import Mutant

SEEDS = "tests/simulation/test_workflows.py"

MUTANTS: tuple[Mutant, ...] = (
    Mutant(
        name="a wait for a time ends when something else happens",
        file="executions/waker.py",
        old="        return min(longest_s, max(0.0, (next_due_at",
        new="        return max(longest_s * 1_000, max(0.0, (next_due_at",
        caught_by=(SEEDS,),
    ),
    Mutant(
        name="a wait begins anew in each attempt",
        file="workflow/interpreter/wait.py",
        old="await run.set_time(visit.key, visit.task.name, length_ms)",
        new="run.world.now_ms() + length_ms",
        caught_by=(SEEDS,),
    ),
    Mutant(
        name="the delay of a retry begins anew in each attempt",
        file="workflow/interpreter/try_task.py",
        old='await self._run.perform(key, f"retry {number}", None, decide)',
        new="await decide()",
        caught_by=(SEEDS,),
    ),
    Mutant(
        name="an event that is sent twice is taken twice",
        file="store/cloud_events.py",
        old='            "identity": identify_event(event),\n',
        new='            "identity": f"{identify_event(event)}{last}",\n',
        caught_by=(SEEDS,),
    ),
    Mutant(
        name="an event wakes nobody",
        file="store/cloud_events.py",
        old="            going_on, is_left = await wake_listeners(writing, self._store, fresh)\n",
        new="            going_on, is_left = 0, False\n",
        caught_by=(SEEDS,),
    ),
    Mutant(
        name="an event that comes in before the wait is written is overlooked",
        file="store/waits.py",
        old="        elif wait.listening and await has_arrived(writing, wait.listening):\n",
        new="        elif wait.listening and not wait.listening:\n",
        caught_by=(SEEDS,),
    ),
    Mutant(
        name="the end of a child wakes only who waits for something else as well",
        file="store/children.py",
        old="frozenset({WaitFor.EXECUTION, WaitFor.EVENT, WaitFor.TIME})",
        new="frozenset({WaitFor.EVENT, WaitFor.TIME})",
        caught_by=(SEEDS,),
    ),
    Mutant(
        name="a step that lost a race is left open",
        file="runner/workflow_journal.py",
        old="        if self.is_ending:\n",
        new="        if self.is_ending or not self.is_ending:\n",
        caught_by=(SEEDS,),
    ),
    Mutant(
        name="a step whose runner stops counts as one that lost a race",
        file="runner/workflow_journal.py",
        old="        self.is_ending = True\n",
        new="        self.is_ending = False\n",
        caught_by=(SEEDS,),
    ),
)
