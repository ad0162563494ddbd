"""The result of one chaos run or of parallel shards: one table, every sentence about what is wrong, and JSON."""

import math
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version

from stigmer_cli.temporal.dev_server import binary_version, find_binary
from tests.chaos.chaos_run import ChaosRun, Window

WRONG = ("lost", "duplicated", "stuck")
JUDGED = (*WRONG, "shown", "parked", "paused")
COLUMNS = ("fault", "count", *WRONG, "detectionP50", "detectionP99", "recoveryP50", "recoveryP99")
SENTENCES_MAX = dict.fromkeys(WRONG, 200) | {"shown": 5, "parked": 5, "paused": 5}
"""Of a kind and a shard. What is shown or parked needs a person, and is not wrong: a few are enough."""

Row = Mapping[str, object]


@dataclass
class Outcome:
    """The result of one chaos run: counts, sentences, and what was wrong by fault.

    `steps` counts the recorded steps by effect and state, `effects` the calls that reached a tool, and `decisions` the
    calls about which a person decided.
    """

    shard: int
    seed: int
    executions: int
    acknowledged: int
    refused: int
    lasted_s: float
    steps: dict[str, int]
    effects: int
    decisions: dict[str, int]
    sentences: dict[str, dict[str, str]]
    broken: list[str]
    ways_out: dict[str, int]
    ways_out_wrong: dict[str, str]
    wrong_in: dict[str, dict[str, int]]


def outcome_of(run: ChaosRun, *, shard: int, lasted_s: float) -> Outcome:
    """The outcome of a chaos run that is over."""
    judgement = run.judgement
    return Outcome(
        shard=shard,
        seed=run.seed,
        executions=len(run.log),
        acknowledged=sum(wanted.acknowledged_s is not None for wanted in run.log),
        refused=sum(wanted.is_refused for wanted in run.log),
        lasted_s=round(lasted_s, 1),
        steps=dict(sorted(judgement.steps.items())),
        effects=judgement.effects,
        decisions=dict(sorted(judgement.decisions.items())),
        sentences={name: dict(getattr(judgement, name)) for name in JUDGED},
        broken=run.broken,
        ways_out=dict(run.ways_out.taken),
        ways_out_wrong=run.ways_out.wrong,
        wrong_in={name: run.wrong_in(name) for name in sorted({window.fault for window in run.windows})},
    )


@dataclass
class Report:
    """All windows and outcomes so far; `repros` are the command lines that repeat each shard."""

    seed: int
    shards: int
    repros: Sequence[str] = ()
    windows: list[Window] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        """Whether every shard is over and nothing is wrong."""
        counts = self._counts()
        return len(self.outcomes) == self.shards and not any(counts[name] for name in (*WRONG, "broken", "noWayOut"))

    def table(self) -> list[Row]:
        """One row a kind of fault; percentiles over all its windows."""
        rows: list[Row] = []
        for name in sorted({window.fault for window in self.windows}, key=_natural):
            mine = [window for window in self.windows if window.fault == name]
            wrong = [outcome.wrong_in.get(name, {}) for outcome in self.outcomes]
            rows.append(
                {
                    "fault": name,
                    "count": len(mine),
                    **{kind: sum(one.get(kind, 0) for one in wrong) for kind in WRONG},
                    **_percentiles("detection", [window.detected_s for window in mine]),
                    **_percentiles("recovery", [window.recovered_s for window in mine]),
                }
            )
        return rows

    def to_json(self) -> dict[str, object]:
        """Everything, as scripts read it."""
        return {
            "seed": self.seed,
            "shards": self.shards,
            "finished": len(self.outcomes),
            "versions": {"temporalio": version("temporalio"), "temporal": binary_version(find_binary(None))},
            "faults": len(self.windows),
            **self._counts(),
            "lastedS": max((outcome.lasted_s for outcome in self.outcomes), default=None),
            "waysOutTaken": self._ways_out(),
            "stepsByState": dict(self._steps()),
            "kinds": self.table(),
            "repros": list(self.repros),
            "sentences": [
                f"shard {outcome.shard}: {name}: {key}: {words}"
                for outcome in self.outcomes
                for name in JUDGED
                for key, words in list(outcome.sentences[name].items())[: SENTENCES_MAX[name]]
            ]
            + [f"shard {outcome.shard}: broken: {words}" for outcome in self.outcomes for words in outcome.broken]
            + [
                f"shard {outcome.shard}: no way out: {name}: {words}"
                for outcome in self.outcomes
                for name, words in outcome.ways_out_wrong.items()
            ],
        }

    def text(self) -> str:
        """The table, and every sentence."""
        lines = [f"{COLUMNS[0]:<32}" + "".join(f"{name:>13}" for name in COLUMNS[1:])]
        lines += [
            f"{row['fault']:<32}" + "".join(f"{'-' if row[name] is None else row[name]:>13}" for name in COLUMNS[1:])
            for row in self.table()
        ]
        counts = ", ".join(f"{number} {name}" for name, number in self._counts().items())
        lines.append(f"seed {self.seed}: {len(self.windows)} faults, {counts}")
        lines += [f"steps: {number} x {state}" for state, number in self._steps().items()]
        lines += [f"way out: {number} x {way}" for way, number in sorted(self._ways_out().items())]
        if len(self.outcomes) != self.shards:
            lines.append(f"not judged: {self.shards - len(self.outcomes)} of {self.shards} shards did not end")
        told = self.to_json()["sentences"]
        assert isinstance(told, list)
        return "\n".join([*lines, *told, *(f"again: {repro}" for repro in self.repros)])

    def _ways_out(self) -> dict[str, int]:
        """The number of executions that were ended, by class and command."""
        taken: Counter[str] = Counter()
        for outcome in self.outcomes:
            taken.update(outcome.ways_out)
        return dict(taken)

    def _steps(self) -> Counter[str]:
        """The number of steps by effect and state."""
        steps: Counter[str] = Counter()
        for outcome in self.outcomes:
            steps.update(outcome.steps)
        return steps

    def _counts(self) -> Counter[str]:
        counts: Counter[str] = Counter()
        for outcome in self.outcomes:
            counts["executions"] += outcome.executions
            counts["acknowledged"] += outcome.acknowledged
            counts["refused"] += outcome.refused
            counts["steps"] += sum(outcome.steps.values())
            counts["effects"] += outcome.effects
            for verdict, number in outcome.decisions.items():
                counts[verdict] += number
            for name in JUDGED:
                counts[name] += len(outcome.sentences[name])
            counts["broken"] += len(outcome.broken)
            counts["waysOut"] += sum(outcome.ways_out.values())
            counts["noWayOut"] += len(outcome.ways_out_wrong)
        return counts


def to_line(what: Window | Outcome) -> dict[str, object]:
    """The JSON line that a shard prints for its parent process."""
    return {"window" if isinstance(what, Window) else "outcome": asdict(what)}


def _percentiles(name: str, values: Sequence[float | None]) -> dict[str, float | None]:
    known = sorted(value for value in values if value is not None)
    if not known:
        return {f"{name}P50": None, f"{name}P99": None}
    return {
        f"{name}P50": round(statistics.median(known), 3),
        f"{name}P99": round(known[math.ceil(len(known) * 0.99) - 1], 3),
    }


def _natural(name: str) -> tuple[int, int, str]:
    """T2 before T10."""
    row, _, words = name.partition(" ")
    return "TNSRJY".index(row[0]), int(row[1:]), words
