"""Checks of category Stack about what holds it together: its ports and its supervisor."""

from stigmer_cli.doctor.check import BUSY_S, Found, Scope, check, failed, passed, skipped, told
from stigmer_cli.doctor.facts.facts import Facts, PortSeen
from stigmer_cli.doctor.facts.pid_visibility import ELSEWHERE, is_out_of_sight
from stigmer_cli.doctor.repairs.dead_supervisor import CLEAR_THE_DEAD
from stigmer_cli.stack.parts import SUPERVISOR
from stigmer_cli.stack.status import SupervisorObservation


@check("STG103", "ports", timeout_s=BUSY_S, scope=Scope.MACHINE)
async def ports(facts: Facts) -> Found:
    """The server, Temporal and Temporal's web UI listen on a port each, on loopback.

    A port that another process holds keeps the part from starting, and the process that holds it may look like ours: a
    Temporal that somebody else started is never used silently. Either end that process, or take other ports.
    """
    probe = await facts.supervisor()
    if not probe.is_there and await _runs_unsupervised(facts):
        return skipped("no stack runs here that would need ports")
    if is_out_of_sight(probe):
        return skipped(f"the stack runs {ELSEWHERE}; who holds a port cannot be seen from here")
    seen = await facts.ports()
    taken = [one for one in seen if not (one.is_free or one.is_ours)]
    evidence = {"ports": [_port_json(one) for one in seen]}
    if not taken:
        return passed(", ".join(f"{one.part} {one.port}" for one in seen), **evidence)
    words = "; ".join(f"port {one.port} for {one.part} is held by {one.owner}" for one in taken)
    # A stack that runs keeps the ports that it was started with.
    hint = "stigmer down && stigmer up --auto-ports" if probe.is_there else "stigmer up --auto-ports"
    return failed(words, hint, **evidence)


@check("STG104", "supervisor", timeout_s=BUSY_S, scope=Scope.MACHINE, repair=CLEAR_THE_DEAD)
async def supervisor(facts: Facts) -> Found:
    """The supervisor keeps Temporal, the server and the runner alive.

    When it is gone, its parts end within two seconds; when it is frozen, they continue, but one that dies is not
    restarted.
    """
    probe = await facts.supervisor()
    if probe.is_answering and probe.record:
        return passed(f"running (pid {probe.record.id.pid})", pid=probe.record.id.pid)
    process = (await facts.processes()).get(SUPERVISOR)
    if process is not None and process.is_alive:
        evidence = {"pid": process.pid}
        if process.is_frozen:
            return failed(
                f"the supervisor (pid {process.pid}) is frozen by a signal (SIGSTOP)",
                f"kill -CONT {process.pid}",
                **evidence,
            )
        how = "does not answer" if probe.is_there else "runs, but its socket is gone"
        return failed(f"the supervisor (pid {process.pid}) {how}", "stigmer down && stigmer up", **evidence)
    if await _runs_unsupervised(facts):
        return told(f"no stack runs in {facts.settings.home.shown}; a server answers at {_url(facts)}")
    return _judge_down(facts, probe)


def _judge_down(facts: Facts, probe: SupervisorObservation) -> Found:
    place = facts.settings.home.path
    if facts.endpoints is not None and probe.record is not None:
        gone = probe.record.id
        died = f"the supervisor of the stack in {place} died (pid {gone.pid}), and its parts with it"
        stopped = f"the supervisor of the stack in {place} (pid {gone.pid}) was told to end, and did, with its parts"
        return failed(stopped if probe.record.is_stopping else died, "stigmer up", pid=gone.pid)
    why = "it is stopped" if facts.settings.home.logs.exists() else "none was ever started there"
    return failed(f"no stack runs in {facts.settings.home.shown}: {why}", "stigmer up", home=str(place))


async def _runs_unsupervised(facts: Facts) -> bool:
    """Whether a server of ours answers although no supervisor of this home runs."""
    return facts.endpoints is None and (await facts.server()).health is not None


def _url(facts: Facts) -> str:
    return facts.endpoints.server_url if facts.endpoints else facts.settings.server_target


def _port_json(one: PortSeen) -> dict[str, object]:
    state = "free" if one.is_free else "ours" if one.is_ours else "taken"
    owner = {"pid": one.owner.pid, "command": one.owner.command} if one.owner else None
    return {"part": one.part, "port": one.port, "state": state, "owner": owner}
