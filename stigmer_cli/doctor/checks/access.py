"""Checks of category Stack about who gets the token: a server that proves that it holds it, or one behind TLS."""

from urllib.parse import urlsplit

from stigmer_cli.doctor.check import BUSY_S, Found, because, check, failed, passed, skipped, warned
from stigmer_cli.doctor.facts.facts import Facts, ServerSeen
from stigmer_cli.server_proof import TokenRule, may_send_token
from stigmer_cli.settings import Source
from stigmer_cli.stack.parts import SERVER

PORTS = "STG103"
WHICH_SERVER = "stigmer config get server_url"


@check("STG120", "server identity", needs=("STG121",), timeout_s=BUSY_S)
async def identity(facts: Facts) -> Found:
    """A port says nothing about who listens on it.

    Before a command sends the token, or anything else, to a server on this machine, that server has to prove on the
    same connection that it holds the token: it answers a random challenge with an HMAC of it. Somebody else on the port
    learns nothing. A tunnel or a forwarded port changes the address that is proven; STIGMER_INSECURE_HTTP=true lets the
    token go there.
    """
    seen = await facts.server()
    if seen.stranger is None:
        return _unsuspected(facts, seen)
    port = urlsplit(seen.url).port
    if any(one.port == port and not (one.is_free or one.is_ours) for one in await facts.ports()):
        return because(PORTS)
    evidence = {"url": seen.url, "pid": seen.stranger.pid, "command": seen.stranger.command}
    record = (await facts.supervisor()).record
    child = record.child(SERVER) if record else None
    if child is not None and child.id is not None and child.id.pid == seen.stranger.pid:
        is_set = facts.settings.sources.get("token") is Source.ENVIRONMENT
        hint = "unset STIGMER_TOKEN" if is_set else "stigmer restart server"
        return failed(f"the server (pid {child.id.pid}) does not hold the token of this command", hint, **evidence)
    hint = WHICH_SERVER if facts.settings.server_url else "stigmer down && stigmer up --auto-ports"
    return failed(
        f"{seen.url} is answered by {seen.stranger}, which has not proven to be the server; nothing was sent to it",
        hint,
        **evidence,
    )


def _unsuspected(facts: Facts, seen: ServerSeen) -> Found:
    if seen.health is None:
        return skipped(f"nobody answers at {seen.url}")
    rule = may_send_token(seen.url, is_insecure_allowed=facts.settings.is_insecure_allowed)
    if rule is TokenRule.AFTER_PROOF:
        return passed(f"the server at {seen.url} has proven that it holds the token", url=seen.url)
    return passed(f"the token goes to {seen.url} {rule}", url=seen.url)


@check("STG121", "token in transit", timeout_s=BUSY_S)
async def encryption(facts: Facts) -> Found:
    """The token goes to a server on another machine over TLS only.

    STIGMER_INSECURE_HTTP=true says that nobody can listen on the way there, and allows plain HTTP. The token never
    follows a redirect.
    """
    seen, settings = await facts.server(), facts.settings
    if seen.refusal:
        return failed(seen.refusal, WHICH_SERVER, url=seen.url)
    if may_send_token(seen.url, is_insecure_allowed=settings.is_insecure_allowed) is TokenRule.AS_TOLD:
        words = f"the token goes to {seen.url} unencrypted and without a proof, because STIGMER_INSECURE_HTTP is set"
        return warned(words, "stigmer config get insecure_http", url=seen.url)
    return passed(f"the token goes to {seen.url} safely", url=seen.url)
