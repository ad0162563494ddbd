"""All mutants: one exact change of one file each, and the tests of which at least one must then fail."""

from tests.mutants import health, identity, journal, network, pages, replay, requests, resume, runner, steps, workflow
from tests.mutants.clock import MUTANTS as CLOCK
from tests.mutants.environment import MUTANTS as ENVIRONMENT
from tests.mutants.mutant import Mutant

SIMULATION = "tests/simulation/test_simulation.py"
FINDINGS = "tests/simulation/test_findings.py"
STREAM = "tests/simulation/test_submit_pass.py"
SIMULATED_TEMPORAL = "tests/simulation/test_temporal.py"
STORE = "tests/simulation/test_store.py"
CONNECTION = "tests/unit/temporal/test_connection.py"
ACCEPT_AND_SUBMIT = "tests/integration/executions/test_accept_and_submit.py"
CANCELLER = "tests/integration/executions/test_canceller.py"
RECONCILER = "tests/integration/executions/test_reconciler.py"
PLAN = "tests/unit/judgement/test_plan.py"


CORE: tuple[Mutant, ...] = (
    *ENVIRONMENT,
    *CLOCK,
    Mutant(
        name="dial once (the founding bug)",
        file="temporal/connection.py",
        old="            self._set_state(failure.state, failure.cause)\n",
        new="            self._set_state(failure.state, failure.cause)\n            await self._clock.sleep(1e9)\n",
        caught_by=(CONNECTION, SIMULATION),
    ),
    Mutant(
        name="a fresh client for each probe",
        file="temporal/connection.py",
        old="""            async with asyncio.timeout(self.pace.probe_s):
                cluster = await session.probe()
""",
        new="""            async with asyncio.timeout(self.pace.probe_s):
                cluster = await (await self._dialer.dial(self.target, identity=self._identity)).probe()
""",
        caught_by=(CONNECTION,),
    ),
    Mutant(
        name="another Temporal at the address goes unnoticed",
        file="temporal/connection.py",
        old="        if cluster != self._cluster:\n",
        new="        if cluster is None:\n",
        caught_by=(CONNECTION,),
    ),
    Mutant(
        name="NOT_FOUND is judged by its code",
        file="temporal/errors.py",
        old="    make = _MISSING.get(detail_of(error))\n",
        new="    make = _MISSING.get(WORKFLOW_MISSING)\n",
        caught_by=("tests/unit/temporal/test_errors.py", SIMULATED_TEMPORAL, SIMULATION),
    ),
    Mutant(
        name="no total deadline around a start",
        file="temporal/gateway.py",
        old="            async with asyncio.timeout(self._pace.call_s - self._pace.resolve_s):\n",
        new="            async with asyncio.timeout(None):\n",
        caught_by=(SIMULATION,),
    ),
    Mutant(
        name="ALLOW_DUPLICATE",
        file="temporal/gateway.py",
        old="WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE",
        new="WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE",
        caught_by=(SIMULATED_TEMPORAL,),
    ),
    Mutant(
        name="a new workflow id for each try",
        file="temporal/gateway.py",
        old="            workflow_id=workflow.id,\n            workflow_type",
        new="""            workflow_id=f"{workflow.id}/{self._request_id()}",
            workflow_type""",
        caught_by=(SIMULATED_TEMPORAL, SIMULATION),
    ),
    Mutant(
        name="marked submitted before Temporal was asked",
        file="executions/submitter.py",
        old="        try:\n            started = await self._gateway.start(execution.workflow,",
        new="""        await self._executions.mark_all_submitted(
            [Taken(id=execution.id, epoch=execution.epoch, run_id=execution.id, cluster="", already=False)]
        )
        try:
            started = await self._gateway.start(execution.workflow,""",
        caught_by=(ACCEPT_AND_SUBMIT, SIMULATION),
    ),
    Mutant(
        name="a mark that came during a commit counts as written by it",
        file="executions/group_commit.py",
        old="            return\n        for written, taken in batch.items():\n",
        new="            return\n        for written, taken in list(self._waiting.items()):\n"
        "            marks.setdefault(taken.id, taken)\n",
        caught_by=("tests/unit/executions/test_group_commit.py",),
    ),
    Mutant(
        name="marks that share a commit are written whatever their epoch",
        file="store/database.py",
        old='            if all(row[name] == value for name, value in transitions[row["id"]].expects.items())\n',
        new='            if row["id"] in transitions\n',
        caught_by=(STREAM,),
    ),
    Mutant(
        name="strain after strain does not end a pass",
        file="executions/submit_pass.py",
        old="        is_strained = self._streak >= max(self._window.width, WIDTH_FIRST)\n",
        new="        is_strained = self._streak < 0\n",
        caught_by=(FINDINGS,),
    ),
    Mutant(
        name="a lost reply counts as a failed submit",
        file="executions/submit_failure.py",
        old="        case TemporalUnavailable():\n",
        new="        case TemporalUnavailable() if str(error) == '':\n",
        caught_by=("tests/unit/executions/test_submit_failure.py", SIMULATION),
    ),
    Mutant(
        name="the idempotency key is dropped",
        file="executions/accept.py",
        old=(
            "            idempotency_key=request.idempotency_key,\n            request_hash=_request_hash(request),\n"
            "            fork=request.fork,\n            session="
        ),
        new=(
            "            idempotency_key=None,\n            request_hash=_request_hash(request),\n"
            "            fork=request.fork,\n            session="
        ),
        caught_by=(SIMULATION,),
    ),
    Mutant(
        name="a request to cancel reaches only one Temporal",
        file="executions/canceller.py",
        old="            self._delivered.clear()",
        new="            self._delivered.copy()",
        caught_by=(CANCELLER,),
    ),
    Mutant(
        name="unreachable is taken for empty",
        file="judgement/observation.py",
        old="        return Observation(execution=execution, unknown=error.message)\n",
        new='        return Observation(execution=execution, unknown="", failure=error.message)\n',
        caught_by=(RECONCILER, SIMULATION),
    ),
    Mutant(
        name="an absence is believed although the connection was lost after it",
        file="executions/reconcile/observe.py",
        old="    if (link.status().state, link.generation) == before:\n",
        new="    if before:\n",
        caught_by=(RECONCILER,),
    ),
    Mutant(
        name="another Temporal is proof enough that it has nothing",
        file="executions/reconcile/observe.py",
        old="    if first.seen is not None or first.unknown:\n",
        new="    if False:\n",
        caught_by=(RECONCILER,),
    ),
    Mutant(
        name="what is named is looked for among all that is open",
        file="store/statements.py",
        old="    return by_index(query, PRIMARY_KEY).where(",
        new="    return query.where(",
        caught_by=("tests/integration/store/test_plans.py",),
    ),
    Mutant(
        name="a port that opens and refuses is dialled in a circle",
        file="temporal/connection.py",
        old="if failure.is_certain and not has_opened else None",
        new="if failure.is_certain else None",
        caught_by=("tests/unit/temporal/test_connection.py",),
    ),
    Mutant(
        name="doctor looks at the oldest alone",
        file="executions/stuck_watch.py",
        old="            looked |= {row.id: row for row in newest.items}\n",
        new="            looked |= {row.id: row for row in newest.items[:0]}\n",
        caught_by=("tests/integration/doctor/test_open_work.py",),
    ),
    Mutant(
        name="age in place of Describe",
        file="judgement/plan.py",
        old="    if observation.seen is None or observation.is_another_run:\n",
        new="    if observation.seen is None or execution.phase is Phase.PENDING:\n",
        caught_by=(PLAN, SIMULATION),
    ),
    Mutant(
        name="another run's workflow taken for the holder's",
        file="judgement/plan.py",
        old="    if observation.seen is None or observation.is_another_run:\n",
        new="    if observation.seen is None:\n",
        caught_by=(PLAN,),
    ),
    Mutant(
        name="an orphan without a grace",
        file="judgement/plan.py",
        old="    if not is_older(last_move_at(execution), now, than_s=rules.grace_s) and not _is_failing",
        new="    if not is_older(last_move_at(execution), now, than_s=-1e9) and not _is_failing",
        caught_by=(PLAN,),
    ),
    Mutant(
        name="a stalled run is reported, and is too fresh for the command that is printed",
        file="judgement/plan.py",
        old=" and not _is_failing(observation):\n",
        new=":\n",
        caught_by=("tests/unit/judgement/test_plan_exhaustive.py",),
    ),
    Mutant(
        name="IN_PROGRESS is submitted again",
        file="store/transitions.py",
        old="        guards=(IS_PENDING, IS_SUBMITTED, IS_UNCLAIMED),\n"
        "        expects=expect(epoch=epoch, version=version),\n"
        "        values={**_queue(reason, detail, now), **_unsubmitted(store, now)},\n",
        new="        guards=(IS_SUBMITTED,),\n"
        "        expects=expect(epoch=epoch, version=version),\n"
        "        values={**_queue(reason, detail, now), **_unsubmitted(store, now)},\n",
        caught_by=(STORE,),
    ),
    Mutant(
        name="a claim forgets when Temporal took it",
        file="store/statements.py",
        old="    filled = {name: func.coalesce(_ROW[name], to[name]) for name in fills}\n",
        new="    filled = {name: func.coalesce(to[name], _ROW[name]) for name in fills}\n",
        caught_by=("tests/contracts/store/test_runs.py",),
    ),
    Mutant(
        name="a claim that everybody wins",
        file="store/runs.py",
        old="            return ClaimAnswer.WON if is_holder and not Phase",
        new="            return ClaimAnswer.WON if not is_holder and not Phase",
        caught_by=(STORE, SIMULATION),
    ),
    Mutant(
        name="a claim does not name its epoch",
        file="store/run_transitions.py",
        old="IS_UNCLAIMED),\n        expects=expect(epoch=epoch),\n",
        new="IS_UNCLAIMED),\n",
        caught_by=(STORE,),
    ),
    Mutant(
        name="a superseded attempt still counts",
        file="store/runs.py",
        old='attempt < row["claimed_attempt"]',
        new='attempt < 0 * row["claimed_attempt"]',
        caught_by=(STORE,),
    ),
    Mutant(
        name="a terminal phase is left",
        file="domain/phase.py",
        old="    Phase.COMPLETED: frozenset(),\n",
        new="    Phase.COMPLETED: frozenset({Phase.PENDING, Phase.FAILED}),\n",
        caught_by=("tests/unit/domain/test_phase.py", STORE),
    ),
    Mutant(
        name="completed whether or not the outcome was taken",
        file="runner/reports.py",
        old="""                await self._clock.sleep(ASK_BACKOFF.delay_s(attempt, self._clock_and_rng.rng))
                continue
""",
        new="                return otherwise\n",
        caught_by=("tests/unit/runner/test_attempt.py", SIMULATION),
    ),
)

BANK: tuple[Mutant, ...] = (
    *CORE,
    *identity.MUTANTS,
    *runner.MUTANTS,
    *network.MUTANTS,
    *health.MUTANTS,
    *requests.MUTANTS,
    *replay.MUTANTS,
    *resume.MUTANTS,
    *journal.MUTANTS,
    *steps.MUTANTS,
    *pages.MUTANTS,
    *workflow.MUTANTS,
)
