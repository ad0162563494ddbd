"""Mutants of identity: the identity of store, workflow or Temporal is dropped from one place each."""

from tests.mutants.mutant import Mutant

IDENTITY = "tests/unit/domain/test_identity.py"
STORE_RECORD = "tests/unit/test_store_record.py"
RUNS = "tests/contracts/store/test_runs.py"
REGISTRY = "tests/integration/server/test_registry.py"
PLAN = "tests/unit/judgement/test_plan.py"
RECONCILER = "tests/integration/executions/test_reconciler.py"

MUTANTS: tuple[Mutant, ...] = (
    Mutant(
        name="all stores share one task queue",
        file="domain/identity.py",
        old='    return LEGACY_TASK_QUEUE if store is None else f"{LEGACY_TASK_QUEUE}-{store}"\n',
        new="    return LEGACY_TASK_QUEUE\n",
        caught_by=(IDENTITY,),
    ),
    Mutant(
        name="each worker of a runner counts as a process of its own",
        file="domain/identity.py",
        old="""    return f"{found['place']}/{found['tag']}" if found else worker\n""",
        new="    return worker\n",
        caught_by=(IDENTITY, RUNS),
    ),
    Mutant(
        name="a slow runner is given up like one that died",
        file="runner/attempt.py",
        old="    processes = work.begun if work.processes is None else work.processes\n",
        new="    processes = work.begun\n",
        caught_by=("tests/unit/runner/test_attempt.py",),
    ),
    Mutant(
        name="another store takes the place of the one that is recorded",
        file="store_record.py",
        old="    if recorded is not None and recorded != found:\n",
        new="    if recorded is not None and not found:\n",
        caught_by=(STORE_RECORD,),
    ),
    Mutant(
        name="a store file that is gone is made anew",
        file="server/serve.py",
        old="        recorded = check_store_file(settings)\n",
        new="        recorded = None\n",
        caught_by=("tests/integration/server/test_store_missing.py",),
    ),
    Mutant(
        name="a workflow id does not name its store",
        file="domain/identity.py",
        old="        root = self.type if self.store is None else",
        new="        root = self.type if self.store else",
        caught_by=(IDENTITY,),
    ),
    Mutant(
        name="what began under the old names is looked for under new ones",
        file="store/mapping.py",
        old='        store=row["store_id"],\n',
        new='        store=row["store_id"] or "str-00000000000000000000000000",\n',
        caught_by=("tests/integration/store/test_legacy.py",),
    ),
    Mutant(
        name="a claim does not look at the workflow that asks",
        file="store/runs.py",
        old="    return name.id == claimant.workflow and (",
        new="    return bool(name.id) and (",
        caught_by=(RUNS,),
    ),
    Mutant(
        name="a claim does not look at the chain of runs",
        file="store/runs.py",
        old="(submitted is None or claimant.first_run in (None, submitted))",
        new="(submitted is None or claimant.first_run is not submitted)",
        caught_by=(RUNS,),
    ),
    Mutant(
        name="a runner of another store completes what it was handed",
        file="runner/attempt.py",
        old="        if found.answer is ClaimAnswer.NOT_MINE:\n",
        new="        if found.answer is None:\n",
        caught_by=("tests/integration/runner/test_foreign.py",),
    ),
    Mutant(
        name="nonsense fails a workflow's tasks for ever",
        file="runner/workflow.py",
        old="        if workflow_input is None:\n",
        new='        if workflow_input is None and given == ("never",):\n',
        caught_by=("tests/integration/runner/test_foreign.py",),
    ),
    Mutant(
        name="what was handed back is submitted again under its closed workflow's id",
        file="judgement/plan.py",
        old="    failures = 1 if rules.retry_refused else execution.dispatch.attempts + 1\n",
        new="    failures = 0\n",
        caught_by=(PLAN, RECONCILER),
    ),
    Mutant(
        name="what ended before a claim has failed",
        file="judgement/plan.py",
        old="    if execution.phase is Phase.PENDING and state in OUTCOMELESS:\n",
        new="    if execution.phase is None and state in OUTCOMELESS:\n",
        caught_by=(PLAN, RECONCILER),
    ),
    Mutant(
        name="a mark whose cause has settled stays for ever",
        file="judgement/plan.py",
        old="    action = Action.NONE if execution.attention is None else Action.UNMARK\n",
        new="    action = Action.NONE\n",
        caught_by=("tests/integration/executions/test_ways_out.py",),
    ),
    Mutant(
        name="a server goes on any Temporal",
        file="server/registry.py",
        old="        if other is None:\n            self._rival = None\n            return\n",
        new="        if other is None or other.cluster:\n            self._rival = None\n            return\n",
        caught_by=(REGISTRY,),
    ),
    Mutant(
        name="of two servers that went apart both go on",
        file="server/registry.py",
        old="        elif mine is not None and mine.cluster_since > other.cluster_since and self._insists(other):\n",
        new="        elif mine is None and self._insists(other):\n",
        caught_by=(REGISTRY,),
    ),
    Mutant(
        name="a server whose store was moved elsewhere stays",
        file="server/registry.py",
        old="        await self._check_adoption(mine, cluster)\n",
        new="        await self._store.check()\n",
        caught_by=(REGISTRY,),
    ),
)
