"""Mutants of what runs between machines: who is let in, what is shown to whom, and whose state is reported."""

from tests.mutants.mutant import Mutant

HOSTS = "tests/unit/server/test_hosts.py"
LISTEN = "tests/integration/server/test_listen.py"
READY = "tests/integration/server/test_ready.py"
TLS = "tests/integration/temporal/test_tls.py"
NETWORK = "tests/unit/doctor/checks/test_network.py"
REMOTE = "tests/unit/stack/test_remote.py"

MUTANTS: tuple[Mutant, ...] = (
    Mutant(
        name="any Host is answered once an address is known",
        file="server/hosts.py",
        old="(name, one) == _unmap(at)",
        new="at is not None",
        caught_by=(HOSTS,),
    ),
    Mutant(
        name="the token goes over a network in the clear",
        file="server/listen.py",
        old="    if settings.tls_cert_file is None and not settings.behind_proxy:\n",
        new="    if settings.tls_cert_file is None and settings.home is None:\n",
        caught_by=(LISTEN,),
    ),
    Mutant(
        name="a foreign client learns why the server is not ready",
        file="server/health.py",
        old="if why_not and is_known else []",
        new="if why_not else []",
        caught_by=(READY,),
    ),
    Mutant(
        name="ready until the door is shut",
        file="server/serve.py",
        old="            self.services.ready.is_stopping = True\n",
        new="",
        caught_by=(READY,),
    ),
    Mutant(
        name="ready without a row written",
        file="server/ready.py",
        old="            await self._write()\n",
        new="",
        caught_by=(READY,),
    ),
    Mutant(
        name="a rotated certificate is not shown to Temporal",
        file="temporal/connection.py",
        old="                await self._take_over_files()\n",
        new="",
        caught_by=(TLS,),
    ),
    Mutant(
        name="a server elsewhere is judged by this machine",
        file="doctor/remote_scope.py",
        old="    if check.scope is Scope.MACHINE:\n",
        new="    if check.scope is Scope.TEMPORAL:\n",
        caught_by=(NETWORK,),
    ),
    Mutant(
        name="every server is this machine's own",
        file="stack/remote.py",
        old="    return None if url in ours else url\n",
        new="    return None if ours else url\n",
        caught_by=(REMOTE,),
    ),
)
