"""The faults that doctor is tried on, in the order in which a shared stack bears them: the gentle ones first."""

from tests.chaos.frames import Code
from tests.chaos.proxy import Toxics
from tests.e2e.faults import (
    clocks,
    foreign_temporal,
    homes,
    impostor,
    network,
    own_temporal,
    runners,
    upgrade,
)
from tests.e2e.faults.cold_start import ROWS as COLD
from tests.e2e.faults.fault import Mends, On, Row
from tests.e2e.faults.shells import ROWS as SHELLS

WAIT = "stigmer doctor --wait=30"
SERVES_NOT = "not healthy: Temporal at temporal.example:7233 takes connections, but does not serve"
BACK = (
    "healthy, with a warning: temporal is running (pid N), restarted N times; ended last at TIME: killed by SIGKILL"
    " from outside: kill -9, or the kernel short of memory"
)
LOGS = "stigmer logs temporal --tail 20"
NO_WORKFLOW = (
    "lost: Temporal has no workflow stigmer/str-ID/agent-execution/invoke/aex-ID, and its run may have had effects"
)

ROWS: tuple[Row, ...] = (
    *SHELLS,
    Row(
        fault="Y5",
        what="the server's clock is an hour ahead",
        on=On.OWN,
        inject=clocks.server_ahead,
        code="STG122",
        exit_code=0,
        verdict="healthy, with a warning: the server's clock is 1h ahead of that of this machine",
        fix="sudo timedatectl set-ntp true",
        mends=Mends.OTHER_MACHINE,
    ),
    *impostor.ROWS,
    *network.ROWS,
    *homes.ROWS,
    Row(
        fault="T15",
        what="an argument of 3 MB",
        on=On.OWN,
        inject=own_temporal.oversized,
        code="",
        exit_code=0,
        verdict="healthy",
        mends=Mends.NEEDLESS,
    ),
    Row(
        fault="S7",
        what="a second server on the same store",
        on=On.OWN,
        inject=own_temporal.second_server,
        code="",
        exit_code=0,
        verdict="healthy",
        mends=Mends.NEEDLESS,
    ),
    Row(
        fault="Y3",
        what="a second runner has another token",
        on=On.OWN,
        inject=runners.with_another_token,
        code="STG114",
        exit_code=0,
        verdict=(
            "healthy, with a warning: the runner (pid N) takes up no work: what answers at 127.0.0.1:7234 has not"
            " proven that it holds the token of this home (its proof is for another token, or for another address);"
            " nothing was sent to it; others do"
        ),
        fix="kill N",
    ),
    Row(
        fault="Y3",
        what="a second runner does not reach its server",
        on=On.OWN,
        inject=runners.without_a_server,
        code="STG113",
        exit_code=0,
        verdict=(
            "healthy, with a warning: the runner (pid N) takes up no work: the server at http://127.0.0.1:1 cannot be"
            " reached (connection refused); others do"
        ),
        fix="kill N",
    ),
    Row(
        fault="Y10",
        what="Temporal's metrics are in reach of web pages",
        on=On.OWN,
        inject=own_temporal.in_reach_of_pages,
        code="STG123",
        exit_code=0,
        verdict="healthy, with a warning: a web page that makes its name point here can read temporal at"
        " 127.0.0.1:PORT",
        fix="stigmer restart temporal",
    ),
    Row(
        fault="D1",
        what="the disk is full",
        on=On.OWN,
        inject=own_temporal.disk_full,
        code="STG102",
        exit_code=1,
        verdict="not healthy: the disk of ~/.stigmer is full: N KiB free",
        fix="du -sh ~/.stigmer/*; df -h ~/.stigmer",
        mends=Mends.SHOWS,
    ),
    Row(
        fault="T4",
        what="Temporal is frozen",
        on=On.OWN,
        inject=own_temporal.frozen,
        code="STG105",
        exit_code=1,
        verdict="not healthy: temporal (pid N) is frozen by a signal (SIGSTOP)",
        fix="kill -CONT N",
    ),
    Row(
        fault="T10",
        what="retention is over before the outcome was taken",
        on=On.OWN,
        inject=own_temporal.expired,
        code="STG404",
        exit_code=1,
        verdict=f"not healthy: 1 execution (aex-ID; the oldest N old) {NO_WORKFLOW}",
        fix="stigmer executions reconcile aex-ID --include-in-progress",
        is_slow=True,
    ),
    Row(
        fault="R5",
        what="the runner lives, and does not poll",
        on=On.OWN,
        inject=own_temporal.parked,
        code="STG207",
        exit_code=1,
        verdict="not healthy: the runner (pid N) is alive, but does not ask Temporal for work",
        fix="stigmer restart runner",
        is_slow=True,
    ),
    *upgrade.ROWS,
    Row(
        fault="T1",
        what="Temporal is killed",
        on=On.OWN,
        inject=own_temporal.killed,
        code="STG105",
        exit_code=0,
        verdict=BACK,
        fix=LOGS,
    ),
    Row(
        fault="T2",
        what="Temporal is killed while eight clients submit",
        on=On.OWN,
        inject=own_temporal.killed_while_starting,
        code="STG105",
        exit_code=0,
        verdict=BACK,
        fix=LOGS,
    ),
    Row(
        fault="T5",
        what="Temporal is frozen for good, and has been replaced",
        on=On.OWN,
        inject=own_temporal.frozen_for_good,
        code="",
        exit_code=0,
        verdict="healthy",
        mends=Mends.NEEDLESS,
        is_slow=True,
    ),
    Row(
        fault="T8",
        what="Temporal comes back with an older copy of its database",
        on=On.OWN,
        inject=own_temporal.older_copy,
        code="STG404",
        exit_code=1,
        verdict=f"not healthy: 1 execution (aex-ID; the oldest N old) {NO_WORKFLOW}",
        fix="stigmer executions reconcile aex-ID --include-in-progress",
        is_slow=True,
    ),
    Row(
        fault="T7",
        what="Temporal comes back without its database",
        on=On.OWN,
        inject=own_temporal.emptied,
        code="STG210",
        exit_code=1,
        verdict="not healthy: Temporal lost its memory at TIME: what was submitted before was unknown to it; 1"
        " execution in progress then, which you must decide about: aex-ID",
        fix="stigmer executions reconcile aex-ID --include-in-progress",
    ),
    Row(
        fault="R4",
        what="one execution ends the runner each time",
        on=On.OWN,
        inject=own_temporal.poisoned,
        code="STG107",
        exit_code=1,
        verdict="not healthy: runner does not start: killed by SIGKILL from outside: kill -9, or the kernel short of"
        " memory (5 times in a row); its last line: LINE; each time it performed aex-ID",
        fix="stigmer executions cancel aex-ID && stigmer up",
        is_slow=True,
    ),
    Row(
        fault="P1",
        what="the supervisor is killed",
        on=On.OWN,
        inject=own_temporal.unsupervised,
        code="STG104",
        exit_code=1,
        verdict="not healthy: the supervisor of the stack in ~/.stigmer died (pid N), and its parts with it",
        fix="stigmer up",
    ),
    Row(
        fault="P2",
        what="the same, and another process has its pid now",
        on=On.OWN,
        inject=own_temporal.reused_pid,
        code="STG104",
        exit_code=1,
        verdict="not healthy: the supervisor of the stack in ~/.stigmer died (pid N), and its parts with it",
        fix="stigmer up",
    ),
    Row(
        fault="T3",
        what="Temporal ends as soon as it is started",
        on=On.OWN,
        inject=own_temporal.crash_loop,
        code="STG105",
        exit_code=1,
        verdict="not healthy: temporal does not start: ended by itself with exit code 1 (5 times in a row); its last"
        " line: Error: unknown flag: --nonsense",
        fix="unset STIGMER_TEMPORAL_BINARY && stigmer restart",
    ),
    Row(
        fault="T11",
        what="nothing can be listed or counted in Temporal",
        on=On.OTHERS,
        inject=foreign_temporal.no_visibility,
        code="",
        exit_code=0,
        verdict="healthy",
        mends=Mends.NEEDLESS,
    ),
    Row(
        fault="N1",
        what="every connection to Temporal is reset",
        on=On.OTHERS,
        inject=foreign_temporal.hurt(Toxics(is_refusing=True)),
        code="STG202",
        exit_code=1,
        verdict=f"{SERVES_NOT}: it closes the connection",
        fix=WAIT,
        mends=Mends.WAITS,
    ),
    Row(
        fault="N2",
        what="nothing comes back from Temporal, on old connections and new ones",
        on=On.OTHERS,
        inject=foreign_temporal.hurt(Toxics(is_silent_up=True, is_silent_down=True)),
        code="STG202",
        exit_code=1,
        verdict=f"{SERVES_NOT}: no answer within 0.9s; it is frozen, or far too slow",
        fix=WAIT,
        mends=Mends.WAITS,
    ),
    Row(
        fault="T6",
        what="Temporal takes 2 s for every answer",
        on=On.OTHERS,
        inject=foreign_temporal.hurt(Toxics(latency_s=foreign_temporal.SLOW_S)),
        code="STG202",
        exit_code=1,
        verdict=f"{SERVES_NOT}: no answer within 0.9s; it is frozen, or far too slow",
        fix=WAIT,
        mends=Mends.WAITS,
    ),
    Row(
        fault="T13",
        what="Temporal is up, and its history is not",
        on=On.OTHERS,
        inject=foreign_temporal.hurt(
            foreign_temporal.refused(
                Code.UNAVAILABLE, "Not enough hosts to serve the request", "StartWorkflow", "DescribeWorkflow"
            )
        ),
        code="STG202",
        exit_code=1,
        verdict=f"{SERVES_NOT}: Temporal is up but not serving yet",
        fix=WAIT,
        mends=Mends.WAITS,
    ),
    Row(
        fault="T14",
        what="Temporal refuses our credentials",
        on=On.OTHERS,
        inject=foreign_temporal.hurt(foreign_temporal.refused(Code.PERMISSION_DENIED, "permission denied")),
        code="STG203",
        exit_code=1,
        verdict="not healthy: Temporal at temporal.example:7233 cannot be used: permission denied: it refuses our"
        " credentials, and its operator must let us in",
        fix=WAIT,
        mends=Mends.WAITS,
    ),
    Row(
        fault="T12",
        what="Temporal has no room for new workflows",
        on=On.OTHERS,
        inject=foreign_temporal.no_room,
        code="STG212",
        exit_code=1,
        verdict="not healthy: Temporal answers, but submits have been failing since TIME (Temporal at"
        " temporal.example:7233 has reached a limit: namespace rate limit exceeded); they are tried again, more"
        " slowly, and wait in the queue meanwhile",
        fix=WAIT,
        mends=Mends.WAITS,
    ),
    Row(
        fault="T9",
        what="the namespace is deleted",
        on=On.OTHERS,
        inject=foreign_temporal.no_namespace,
        code="STG203",
        exit_code=1,
        verdict='not healthy: Temporal at temporal.example:7233 cannot be used: namespace "work" not found',
        fix="temporal operator namespace create -n work --address temporal.example:7233",
    ),
    *COLD,
)
