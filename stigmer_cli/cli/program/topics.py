"""The pages of the manual, which are shipped with the package: their names, their text, what each is about."""

from importlib.resources import files

TOPICS = (
    "getting-started",
    "stack",
    "agents",
    "executions",
    "reconcile",
    "temporal",
    "doctor",
    "troubleshooting",
    "settings",
    "security",
    "networking",
    "upgrading",
    "scripting",
    "http-api",
)
"""The pages, in the order in which a new user reads them; each is a file of the folder `manual`."""


def page(topic: str) -> str:
    """The Markdown of a topic."""
    return (files("stigmer_cli") / "manual" / f"{topic}.md").read_text(encoding="utf-8")


def summary(topic: str) -> str:
    """What a page is about, in one line: the first line below its heading."""
    return page(topic).splitlines()[2].removesuffix(".")


def completions(incomplete: str) -> list[tuple[str, str]]:
    """The topics that begin with `incomplete`, each with its summary, as a shell offers them."""
    return [(topic, summary(topic)) for topic in TOPICS if topic.startswith(incomplete)]
