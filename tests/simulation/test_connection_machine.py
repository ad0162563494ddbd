"""The connection with any faults in any order: it moves only as drawn, notices in time, and always comes back."""

import asyncio
import random

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from stigmer_cli.api.connection import ConnectionState
from stigmer_cli.errors import TemporalUnavailable
from stigmer_cli.temporal.connection import Change, Connection, Target
from stigmer_cli.temporal.state import HAS_CLIENT, TRANSITIONS, ClusterIdentity
from tests.simulation.loop import QuickLoop
from tests.support.fakes_temporal import Condition, LoopClock, ScriptedDialer

S = ConnectionState
NOTICED_WITHIN_S = {Condition.REFUSED: 1.2, Condition.FROZEN: 3.1, Condition.NO_NAMESPACE: 1.2, Condition.DENIED: 1.2}
"""A probe a second; refusals are certain at once, silence needs two probes of a second each."""
BACK_WITHIN_S = 4.1
"""A dial that hangs takes 2 s, and after a wrong setting the next one comes 2 s later."""


class Moves:
    """An observer that keeps every move."""

    def __init__(self) -> None:
        self.changes: list[Change] = []

    def record_change(self, change: Change) -> None:
        self.changes.append(change)

    def record_probe(self, ok: bool, latency_s: float) -> None:  # noqa: ARG002, FBT001 - the seam's signature
        assert latency_s >= 0

    def record_dial(self, ok: bool) -> None:  # noqa: FBT001 - the seam's signature
        """Nothing to check."""


class ConnectionLife(RuleBasedStateMachine):
    """Faults of Temporal, time, and calls that fail."""

    @initialize(condition=st.sampled_from(Condition), seed=st.integers(0, 2**16))
    def begin(self, condition: Condition, seed: int) -> None:
        self.runner = asyncio.Runner(loop_factory=QuickLoop)
        self.loop = self.runner.get_loop()
        self.dialer, self.moves = ScriptedDialer(condition=condition), Moves()
        self.since_s, self.cluster_changes = 0.0, 0
        self.runner.run(self._begin(seed))

    async def _begin(self, seed: int) -> None:
        self.connection = Connection(
            Target(address="127.0.0.1:7233"),
            clock=LoopClock(),
            rng=random.Random(seed),
            identity="test",
            observer=self.moves,
            dialer=self.dialer,
        )
        self.owner = asyncio.get_running_loop().create_task(self.connection.run())

    @rule(condition=st.sampled_from(Condition))
    def change(self, condition: Condition) -> None:
        if condition is not self.dialer.condition:
            self.dialer.condition, self.since_s = condition, self.loop.time()

    @rule(delay_s=st.floats(0.001, 6))
    def wait(self, delay_s: float) -> None:
        self.runner.run(asyncio.sleep(delay_s))

    @rule()
    def a_call_fails(self) -> None:
        self.connection.report_failure("the connection broke")

    @rule()
    def another_temporal_answers(self) -> None:
        self.cluster_changes += 1
        self.dialer.cluster = ClusterIdentity(cluster_id=f"cluster-{self.cluster_changes}", namespace_id="n")

    @invariant()
    def it_moved_only_as_drawn(self) -> None:
        if not hasattr(self, "moves"):
            return
        at = S.CONNECTING
        for change in self.moves.changes:
            assert change.before is at
            assert change.after in TRANSITIONS[at]
            at = change.after
        assert self.connection.status().state is at
        assert self.connection.generation == sum(
            change.after is S.CONNECTED and change.before is not S.SUSPECT for change in self.moves.changes
        )

    @invariant()
    def it_gives_a_client_exactly_where_one_is(self) -> None:
        if not hasattr(self, "moves"):
            return
        has_client = self.connection.status().state in HAS_CLIENT
        try:
            self.connection.client()
        except TemporalUnavailable:
            assert not has_client
        else:
            assert has_client

    @invariant()
    def it_is_not_green_for_long_while_nothing_works(self) -> None:
        if not hasattr(self, "moves"):
            return
        limit_s = NOTICED_WITHIN_S.get(self.dialer.condition)
        if limit_s is not None and self.loop.time() - self.since_s > limit_s:
            assert self.connection.status().state is not S.CONNECTED

    def teardown(self) -> None:
        if not hasattr(self, "runner"):
            return
        try:
            self.dialer.condition = Condition.HEALTHY
            self.runner.run(asyncio.sleep(BACK_WITHIN_S))
            assert self.connection.status().state is S.CONNECTED
            self.runner.run(self._end())
            assert self.connection.status().state is S.STOPPED
        finally:
            self.runner.close()

    async def _end(self) -> None:
        self.owner.cancel()
        await asyncio.wait([self.owner])


TestConnectionLife = ConnectionLife.TestCase
TestConnectionLife.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
