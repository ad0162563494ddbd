"""The nemesis: every fault by its name in the list of faults, and its frequency in a chaos run.

row   where
T1    chaos `T1 killed`
T2    chaos `T2 killed while it starts runs`
T3    chaos `T3 crash loop`; what the supervisor says of one: tests/integration/supervisor/test_restart.py
T4    chaos `T4 frozen`
T5    chaos `T5 frozen for good`
T6    chaos `T6 slow`
T7    chaos `T7 emptied`
T8    chaos `T8 older database`
T9    chaos `T9 namespace missing`: no start and no resubmit meanwhile
T10   chaos `T10 history gone`, which is what retention leaves behind; directed: one of each phase, asked by id
T11   chaos `T11 visibility away`, and in every chaos run: nobody ever asked for a list
T12   chaos `T12 30 % refused`
T13   chaos `T13 starts refused`: not reported ready until a start works
T14   chaos `T14 permission denied`: no start and no resubmit meanwhile, and no restart after
T15   chaos `T15 asked too much`: refused, or failed with a reason, and others are not affected
N1    chaos `N1 reset and refused`
N2    chaos `N2 silence`
N3    chaos `N3 replies lost`
N4    chaos `N4 cut after some bytes`, `N4 sliced`, `N4 slow close`
N5    chaos `N5 20 % loss`, `N5 jitter`: at most two moves of the connection; `N5 8 kB a second`: at most six
N8    chaos `N8 reset once`, `N8 flapping`: the number of moves is bounded
S1    chaos `S1 killed before commit`
S2    chaos `S2 killed while it answers`
S3    chaos `S3 killed before the start`
S4    chaos `S4 killed before the mark`
S5    chaos `S5 away while runs end`
S6    chaos `S6 frozen`; with a second server that takes over: directed
S9    chaos `S9 reconciled by eight`; directed, with orphans to find
S10   chaos `S10 reconcile broken off`; directed, with orphans to find
S11   the failpoints
R1    chaos `R1 killed`
R2    chaos `R2 frozen`
R3    chaos `R3 told to go`
R4    chaos `R4 poison`: paused with a reason after its five attempts; whether others pause with it: directed
R5    chaos `R5 parked`; how soon it is found: directed
R6    in every chaos run: no tool server is left at its end
J1    chaos `J1 tool server killed`: in the middle of calls, as all of J1 to J5
J2    chaos `J2 tool server frozen`
J3    chaos `J3 runner killed amid calls`; at each step of a call: the failpoints
J4    chaos `J4 emptied amid calls`
J5    chaos `J5 tool processes killed`
Y1    chaos `Y1 second home`
Y3    chaos `Y3 wrong token`, `Y3 server gone for good`
Y4    chaos `Y4 upgraded`, to another version of the same workflow; to a changed one: tests/replay/test_upgrade.py
Y5    chaos `Y5 server an hour ahead`, `... behind`, `Y5 runners five minutes ahead`, `... behind`; others: e2e
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
from tests.chaos.faults.tools import TOOLS

FAULTS: tuple[Fault, ...] = (*TEMPORAL, *NETWORK, *SERVER, *RUNNER, *TOOLS, *CLOCK, *IDENTITY)
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
