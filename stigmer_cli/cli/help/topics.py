"""The pages of the manual, which the package contains: their names, texts and summaries."""

TOPICS = (
    "getting-started",
    "stack",
    "agents",
    "tools",
    "workflows",
    "review",
    "calls",
    "processes",
    "dsl",
    "events",
    "executions",
    "sessions",
    "journal",
    "waiting",
    "reconcile",
    "temporal",
    "doctor",
    "troubleshooting",
    "settings",
    "security",
    "networking",
    "upgrading",
    "scripting",
    "drill",
    "mcp",
    "http-api",
    "performance",
)
"""The pages, in the order in which a new user reads them; each is a file in the folder `manual`."""


def read_page(topic: str) -> str:
    """The Markdown of a topic."""
    from importlib.resources import files  # noqa: PLC0415 - every command line imports this module

    return (files("stigmer_cli") / "manual" / f"{topic}.md").read_text(encoding="utf-8")


def read_summary(topic: str) -> str:
    """The summary of a page: the first line below its heading, without its full stop."""
    return read_page(topic).splitlines()[2].removesuffix(".")
