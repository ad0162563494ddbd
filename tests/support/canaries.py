"""Twenty secrets of the kinds that people have, to be looked for wherever text leaves a process."""

import json
from base64 import b64encode
from urllib.parse import quote

CANARIES: tuple[str, ...] = (
    "sk-proj-canary01AAAABBBBCCCC",
    "canary 02 with spaces",
    'canary03"quoted"',
    "canary04\\back\\slash",
    "canary05/slash+plus=equals",
    "canary06-ümläut-ß",
    "canary07\nof two lines",
    "-----BEGIN CANARY08 KEY-----\nMIICanary08AAAA\nMIICanary08BBBB\n-----END CANARY08 KEY-----",
    "canary09'single'",
    "canary10;rm -rf",
    "canary11$HOME${PATH}",
    "canary12\ttab",
    "canary13<b>&amp;",
    "canary14%20percent",
    "canary15[bold]markup[/]",
    "canary16-" + "x" * 512,
    "canary17|pipe",
    "canary18-日本語-秘密",
    "canary19,comma:colon",
    "canary20@host.example",
)


def leaked_in(text: str) -> list[str]:
    """The canaries that `text` holds in any of their spellings."""
    return [canary[:12] for canary in CANARIES if any(one in text for one in _spellings(canary))]


def _spellings(canary: str) -> set[str]:
    return {
        canary,
        json.dumps(canary)[1:-1],
        json.dumps(canary, ensure_ascii=False)[1:-1],
        repr(canary)[1:-1],
        quote(canary, safe=""),
        b64encode(canary.encode()).decode(),
    }
