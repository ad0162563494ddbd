"""The nemesis: every fault by its name in the list of faults, and how often each comes in a battle.

row   where
T1    battle `T1 killed`
T2    battle `T2 killed while it starts runs`
T3    battle `T3 crash loop`; what the supervisor says of one: tests/integration/supervisor/test_restart.py
T4    battle `T4 frozen`
T5    battle `T5 frozen for good`
T6    battle `T6 slow`
T7    battle `T7 emptied`
T8    battle `T8 older database`
T9    battle `T9 namespace missing`: no start and no resubmit meanwhile
T10   battle `T10 history gone`, which is what retention leaves behind; directed: one of each phase, asked by id
T11   battle `T11 visibility away`, and in every battle: nobody ever asked for a list
T12   battle `T12 30 % refused`
T13   battle `T13 starts refused`: not reported ready until a start works
T14   battle `T14 permission denied`: no start and no resubmit meanwhile, and no restart after
T15   battle `T15 asked too much`: refused, or failed with a reason, and the neighbours go on
N1    battle `N1 reset and refused`
N2    battle `N2 silence`
N3    battle `N3 replies lost`
N4    battle `N4 cut after some bytes`, `N4 sliced`, `N4 slow close`
N5    battle `N5 20 % loss`, `N5 jitter`: at most two moves of the connection; `N5 8 kB a second`: at most six
N8    battle `N8 reset once`, `N8 flapping`: moves bounded by the turns
S1    battle `S1 killed before commit`
S2    battle `S2 killed while it answers`
S3    battle `S3 killed before the start`
S4    battle `S4 killed before the mark`
S5    battle `S5 away while runs end`
S6    battle `S6 frozen`; with a second server that takes over: directed
S9    battle `S9 reconciled by eight`; directed, with orphans to find
S10   battle `S10 reconcile broken off`; directed, with orphans to find
S11   the failpoints
R1    battle `R1 killed`
R2    battle `R2 frozen`
R3    battle `R3 told to go`
R4    battle `R4 poison`: FAILED with a reason after its five attempts; whom it takes along is counted: directed
R5    battle `R5 parked`; how soon it is found: directed
Y1    battle `Y1 second home`
Y3    battle `Y3 wrong token`, `Y3 server gone for good`
Y4    battle `Y4 upgraded`, to another version of the same workflow; to a changed one: tests/replay/test_upgrade.py
Y5    battle `Y5 server an hour ahead`, `... behind`, `Y5 runners five minutes ahead`, `... behind`; others: e2e
"""

import random
from collections.abc import Sequence

from tests.chaos.fault import Fault
from tests.chaos.faults.clock import CLOCK
from tests.chaos.faults.identity import IDENTITY
from tests.chaos.faults.network import NETWORK
from tests.chaos.faults.runner import RUNNER
from tests.chaos.faults.server import SERVER
from tests.chaos.faults.temporal import TEMPORAL

FAULTS: tuple[Fault, ...] = (*TEMPORAL, *NETWORK, *SERVER, *RUNNER, *CLOCK, *IDENTITY)
BY_NAME = {fault.name: fault for fault in FAULTS}


def plan(rng: random.Random, count: int) -> Sequence[Fault]:
    """`count` faults in any order, each kind by its weight, and each at least once where there are enough."""
    if count <= len(FAULTS):
        return rng.sample(FAULTS, count)
    total = sum(fault.weight for fault in FAULTS)
    shares = {fault.name: count * fault.weight / total for fault in FAULTS}
    chosen = [fault for fault in FAULTS for _ in range(max(1, int(shares[fault.name])))]
    by_rest = sorted(FAULTS, key=lambda fault: shares[fault.name] % 1, reverse=True)
    chosen += [by_rest[number % len(by_rest)] for number in range(count - len(chosen))]
    rng.shuffle(chosen)
    return chosen[:count]


def part(faults: Sequence[Fault], number: int, parts: int) -> Sequence[Fault]:
    """Part `number` (from 0) of `parts` of a plan."""
    return faults[number::parts]
