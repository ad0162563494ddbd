"""Checks of category Configuration: what was set where, and whether it can work."""

import re
import shlex
from collections.abc import Sequence
from pathlib import Path

from stigmer_cli.doctor.check import Found, Scope, Severity, check, failed, passed, skipped, told, warned
from stigmer_cli.doctor.facts.facts import Facts
from stigmer_cli.doctor.facts.model_settings import provider_given
from stigmer_cli.doctor.repairs.modes import SHUT_TOKEN
from stigmer_cli.domain.model_name import KNOWN, SCRIPT, find_model_problem
from stigmer_cli.domain.model_provider import OPENAI, describe_missing_library, find_provider
from stigmer_cli.extras import is_installed
from stigmer_cli.settings import OPTIONS, Source

OTHERS = 0o077
VARIABLE = re.compile(r"\b[A-Z][A-Z0-9_]+\b")
EXECUTIONS_S = 2.0
TOOLS_S = 10.0
"""For as many tool servers as there are; most take a second together."""


@check("STG501", "settings", needs=("STG507", "STG506", "STG508"))
async def settings(facts: Facts) -> Found:
    """Settings come from flags, then the environment, then config.toml in the home, then the defaults.

    One that does not parse, or a key in config.toml that means nothing, stops every command. While they cannot be read,
    nothing else is judged: it might be the wrong stack.
    """
    if facts.problem is not None:
        edit = f"${{EDITOR:-vi}} {shlex.quote(str(facts.settings.home.config_file))}"
        return failed(facts.problem.message, facts.problem.hint if facts.problem.hint.startswith("unset ") else edit)
    return passed("all settings are valid", file=str(facts.settings.home.config_file))


@check("STG502", "variables", severity=Severity.WARNING)
async def variables(facts: Facts) -> Found:
    """A variable that begins with STIGMER_ and names no setting has no effect; usually its name has a typo."""
    strangers = facts.settings.warnings
    if strangers:
        names = [found[0] for line in strangers if (found := VARIABLE.search(line))]
        return warned("; ".join(strangers), f"unset {' '.join(names)}", variables=names)
    return passed("no unknown variables")


@check("STG503", "layers", severity=Severity.INFO)
async def layers(facts: Facts) -> Found:
    """This lists which settings differ from the defaults, and which layer said so.

    Parts that run keep the settings they were started with until `stigmer restart`. Values: `stigmer config list`.
    """
    said = {
        option.name: str(source)
        for option in OPTIONS
        if (source := facts.shell.sources.get(option.name, Source.DEFAULT)) is not Source.DEFAULT
    }
    if not said:
        return passed("all settings are the defaults", settings={})
    words = ", ".join(f"{name} ({source})" for name, source in said.items())
    return told(f"set: {words}", settings=said)


@check("STG504", "token", needs=("STG101",), severity=Severity.WARNING, repair=SHUT_TOKEN)
async def token(facts: Facts) -> Found:
    """Anyone who reads the token can run agents as you.

    It is in the file `token` of the home, which only its owner may read (mode 0600).
    """
    seen, file = await facts.home(), facts.settings.home.token_file
    name = shlex.quote(str(file))
    if seen.token_mode is None:
        if facts.settings.token is not None:
            return passed("the token is set, not read from a file")
        if facts.endpoints is None:
            return skipped("no stack was started, so there is no token yet")
        return failed(f"the token file {file} is gone", "stigmer config rotate-token", file=str(file))
    mode = f"{seen.token_mode:04o}"
    if seen.token_mode & OTHERS:
        message = f"others may read the token: {file} has mode {mode}"
        return warned(message, f"chmod 600 {name} && stigmer config rotate-token", file=str(file), mode=mode)
    return passed(f"only you may read it (mode {mode})", file=str(file), mode=mode)


@check("STG505", "models", needs=("STG108",), severity=Severity.WARNING, timeout_s=EXECUTIONS_S, scope=Scope.MACHINE)
async def models(facts: Facts) -> Found:
    """`echo` needs no key, and `script:FILE` needs its file, on the machine of the runner.

    A model `openai:NAME` needs a key: the secret OPENAI_API_KEY (`stigmer secrets set`), or that variable in the
    environment that the runner is started from. A local endpoint needs OPENAI_BASE_URL there, and no key. This looks at
    what the runner was given, by name and fingerprint, and whether the endpoint takes connections from here.
    `stigmer restart runner` gives it the key of the shell that it is typed in.

    Other providers (`anthropic:NAME`, `google:NAME`, ...) need their library, which is an extra of the package.
    """
    seen = await facts.executions()
    used, has_secret = seen.models, OPENAI.key in seen.secrets
    key, url = provider_given(facts)
    evidence = {"models": list(used), "baseUrl": url.value, "keyFingerprint": key.fingerprint}
    needy = [model for model in used if find_provider(model) is OPENAI]
    if needy and not (key.is_set or url.is_set or has_secret):
        who = "the runner was given neither OPENAI_API_KEY nor OPENAI_BASE_URL"
        is_here = facts.shell.openai_api_key or facts.shell.openai_base_url
        hint = "stigmer restart runner" if is_here else "export OPENAI_API_KEY=... && stigmer restart runner"
        return warned(f"agents use {', '.join(needy)}, and {who}", hint, **evidence)
    strange = [model for model in used if find_model_problem(model)]
    if strange:
        message = f"agents use {', '.join(strange)}, which is no known model: use {KNOWN}"
        return warned(message, "stigmer agents list", **evidence)
    if gone := _missing_scripts(used):
        return warned(f"agents play {', '.join(gone)}, which is no file", "stigmer agents list", **evidence)
    if missing := _describe_missing_libraries(used):
        return warned(missing, "stigmer help agents", **evidence)
    why = await facts.provider() if needy else ""
    if why:
        hint = "stigmer config get openai_base_url"
        return warned(f"agents use {', '.join(needy)}, but {why}", hint, **evidence)
    return passed(f"in use: {', '.join(used)}" if used else "there are no agents yet", **evidence)


@check("STG510", "tool servers", needs=("STG108",), severity=Severity.WARNING, timeout_s=TOOLS_S, scope=Scope.MACHINE)
async def tool_servers(facts: Facts) -> Found:
    """The runner starts the command of a tool server, or connects to its URL, when an agent that has it runs.

    This looks for the program and its folder as this shell sees them, and whether a URL takes connections from here.
    Then it starts the command, or connects, with the secrets that the manifest refers to, and asks for the list of
    tools, which has to be there within 3 s. It calls no tool. An execution whose tool server is away is paused.
    """
    servers = await facts.tool_servers()
    bad = [server for server in servers if server.why]
    if bad:
        words = "; ".join(f"{server.label}: {server.why}" for server in bad)
        evidence = [{"agent": server.agent, "server": server.label, "why": server.why} for server in bad]
        return warned(f"agents cannot use {words}", f"stigmer agents get {bad[0].agent}", servers=evidence)
    if not servers:
        return passed("no agent has tools")
    words = f"{len(servers)} list their tools" if len(servers) > 1 else "1 lists its tools"
    return passed(words, count=len(servers))


def _describe_missing_libraries(used: Sequence[str]) -> str:
    """What has to be installed for the first model in use whose library is not; empty if all are."""
    providers = [provider for model in used if (provider := find_provider(model))]
    missing = [provider for provider in providers if not is_installed(provider.library)]
    return describe_missing_library(missing[0]) if missing else ""


def _missing_scripts(models: Sequence[str]) -> Sequence[str]:
    scripts = [model.removeprefix(SCRIPT) for model in models if model.startswith(SCRIPT)]
    return [script for script in scripts if not Path(script).is_file()]
