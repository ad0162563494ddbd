"""Writes agents as the YAML that `stigmer apply` takes: applied again, it changes nothing."""

from collections.abc import Sequence

import yaml

from stigmer_cli.api.agent_tools import LOOP_KEYS
from stigmer_cli.api.resources import API_VERSION, AgentResource
from stigmer_cli.cli.output import CONTROL

UNWRAPPED = 1_000_000
"""Columns of a line: text is never wrapped, because a wrapped line makes differences hard to read."""

REORDERING = {
    ord(character): f"\\u{ord(character):04x}" for character in "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
}
"""Bidirectional overrides, which YAML prints as they are; text with one is quoted, and takes an escape instead."""


class ManifestDumper(yaml.SafeDumper):
    """Writes text of several lines as a block, where YAML allows it."""


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = '"' if CONTROL.search(text) else "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


ManifestDumper.add_representer(str, _represent_text)


def write_manifest(item: AgentResource) -> str:
    """One document, which ends with a line break. What is empty is left out, as is what the server adds."""
    metadata = {"name": item.metadata.name, "labels": item.metadata.labels, "annotations": item.metadata.annotations}
    spec = {
        "description": item.spec.description,
        "instructions": item.spec.instructions,
        "model": item.spec.model,
        **item.spec.model_dump(mode="json", by_alias=True, include=set(LOOP_KEYS), exclude_defaults=True),
    }
    document = {
        "apiVersion": API_VERSION,
        "kind": "Agent",
        "metadata": {name: value for name, value in metadata.items() if value},
        "spec": {name: value for name, value in spec.items() if value},
    }
    text: str = yaml.dump(document, Dumper=ManifestDumper, sort_keys=False, allow_unicode=True, width=UNWRAPPED)
    return text.translate(REORDERING)


def write_manifests(items: Sequence[AgentResource]) -> str:
    """Documents for all of `items`; empty if there are none."""
    return "---\n".join(write_manifest(item) for item in items)
