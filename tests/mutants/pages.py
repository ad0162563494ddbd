"""Mutants of what keeps web pages out: a Host that is believed, an unchecked cookie, a port that stays open."""

from tests.mutants.mutant import Mutant

HOSTS = "tests/unit/server/test_hosts.py"
DOOR = "tests/unit/server/ui/test_access.py"
SESSIONS = "tests/unit/server/ui/test_sessions.py"
PROXY = "tests/integration/server/test_ui_proxy.py"
FILTER = "tests/integration/supervisor/test_source_filter.py"

MUTANTS: tuple[Mutant, ...] = (
    Mutant(
        name="a Host is judged by its name, whatever its port",
        file="server/hosts.py",
        old="any((name, one) in self._exact or",
        new="any(name in dict(self._exact) or",
        caught_by=(HOSTS,),
    ),
    Mutant(
        name="the web UI is let in before the Host is looked at",
        file="server/guard.py",
        old="            self._check_host(scope, headers)\n            if self._pages",
        new="            if not is_ui(scope['path']):\n                self._check_host(scope, headers)\n"
        "            if self._pages",
        caught_by=(DOOR,),
    ),
    Mutant(
        name="a page of the same site counts as one of the same origin",
        file="server/ui/access.py",
        old='return site == "same-origin" or is_navigation',
        new='return site in ("same-origin", "same-site") or is_navigation',
        caught_by=(DOOR,),
    ),
    Mutant(
        name="a one-time link works twice",
        file="server/ui/sessions.py",
        old="self._waiting = [link for link in self._waiting if link is not found]",
        new="self._waiting = list(self._waiting)",
        caught_by=(SESSIONS,),
    ),
    Mutant(
        name="the browser's cookies go on to Temporal's UI",
        file="server/ui/proxy.py",
        old='    b"caller-type",\n',
        new='    b"caller-type",\n    b"cookie",\n',
        caught_by=(PROXY,),
    ),
    Mutant(
        name="the filter is put on once, and not after a restart",
        file="supervisor/source_filter.py",
        old="if process is None or process is done or wanted is None:",
        new="if process is None or done is not None or wanted is None:",
        caught_by=(FILTER,),
    ),
    Mutant(
        name="the filter lets everybody in",
        file="supervisor/source_filter.py",
        old="(RETURN, 0, 0, NOTHING),",
        new="(RETURN, 0, 0, WHOLE),",
        caught_by=(FILTER,),
    ),
)
