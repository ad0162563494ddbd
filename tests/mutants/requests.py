"""Mutants of requests: who owns the port, and what is lost on the way to the server."""

from tests.mutants.mutant import Mutant

PROOF = "tests/unit/test_server_proof.py"
RETRY = "tests/unit/cli/test_retry.py"

MUTANTS: tuple[Mutant, ...] = (
    Mutant(
        name="a proof holds wherever it was asked for",
        file="server_proof.py",
        old='    signed = "\\n".join((PURPOSE, nonce, address, str(pid)))\n',
        new='    signed = "\\n".join((PURPOSE, nonce, str(pid)))\n',
        caught_by=(PROOF,),
    ),
    Mutant(
        name="a server is believed that answers at all",
        file="server_proof.py",
        old="    if not any(challenge.is_met_by(answer, one) for one in (known, rotated) if one is not None):\n",
        new="    if not any(answer for one in (known, rotated) if one is not None):\n",
        caught_by=(PROOF,),
    ),
    Mutant(
        name="the token goes to any host in the clear",
        file="server_proof.py",
        old='    return TokenRule.AFTER_PROOF if is_loopback(parts.hostname or "") else TokenRule.NEVER\n',
        new='    return TokenRule.AFTER_PROOF if is_loopback(parts.hostname or "") else TokenRule.AS_TOLD\n',
        caught_by=(PROOF,),
    ),
    Mutant(
        name="a connection is used before the server has proven anything",
        file="transport.py",
        old="                await prove(challenge, wire.read, wire.write, token)\n",
        new="                await asyncio.sleep(0)\n",
        caught_by=("tests/integration/server/test_challenge.py",),
    ),
    Mutant(
        name="a lost answer ends a create",
        file="cli/retry.py",
        old="    return isinstance(error, Unavailable) and not isinstance(error, TemporalUnavailable)\n",
        new="    return type(error) is Unavailable\n",
        caught_by=(RETRY,),
    ),
    Mutant(
        name="a refusal of fail-fast is tried again",
        file="cli/retry.py",
        old=" and not isinstance(error, TemporalUnavailable)\n",
        new="\n",
        caught_by=(RETRY,),
    ),
    Mutant(
        name="--wait behind two dashes is an option",
        file="cli/wait.py",
        old="arguments.index(ONLY_ARGUMENTS) if ONLY_ARGUMENTS in arguments else len(arguments)\n",
        new="len(arguments)\n",
        caught_by=("tests/unit/cli/test_wait.py",),
    ),
    Mutant(
        name="a reconcile that was cut off gives up on its own lease",
        file="cli/executions/reconcile_wait.py",
        old=" or (was_cut_off and isinstance(refusal, Conflict))\n",
        new="\n",
        caught_by=("tests/unit/cli/executions/test_reconcile_wait.py",),
    ),
    Mutant(
        name="each try of a create is another execution",
        file="executions/accept.py",
        old="            id=request.id or self._ids.execution_id(definition.kind),\n",
        new="            id=self._ids.execution_id(definition.kind),\n",
        caught_by=("tests/integration/server/test_create_again.py",),
    ),
    Mutant(
        name="a port that was found free is not claimed",
        file="stack/port_claims.py",
        old="        if port in self._held or not IS_LINUX:\n",
        new="        if port is not None:\n",
        caught_by=("tests/unit/stack/test_port_claims.py",),
    ),
)
