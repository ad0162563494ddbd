"""An agent as a file: applied again it says the same, whatever its texts hold, and it shows them as they are."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from stigmer_cli.api.agent_spec import AgentSpecBody
from stigmer_cli.api.resources import AgentMetadata, AgentResource
from stigmer_cli.cli.agents.manifest import parse_manifests
from stigmer_cli.cli.agents.manifest_yaml import write_manifest, write_manifests
from stigmer_cli.cli.output import strip_control_sequences
from stigmer_cli.yaml_source import YamlSource

AT = datetime(2026, 5, 4, tzinfo=UTC)

text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40) | st.sampled_from(
    ["yes", "1e3", "2024-01-01", "<<", "=", "~", "- a", "a: b", "# no", " x\n  y", "\n", "a\n\n\n", "a \nb", "\t", "'",
     '"', "|\n", "\u202eabc\\u202e", "a\u2028b\n", "\x85", "\ufeff", "\r\n", "%TAG", "---\n...\n", "*a", "&a",
     "!!int 1", "\x1b[2J"]
)  # fmt: skip


def agent(name: str = "greeter", **said: object) -> AgentResource:
    metadata = {key: said.pop(key) for key in ("labels", "annotations") if key in said}
    return AgentResource(
        metadata=AgentMetadata.model_validate(
            {"name": name, "slug": "greeter", "id": "agt-1", "createdAt": AT, "updatedAt": AT, **metadata}
        ),
        spec=AgentSpecBody.model_validate(said),
    )


@given(
    name=text.filter(bool),
    description=text,
    instructions=text,
    labels=st.dictionaries(text, text, max_size=3),
    annotations=st.dictionaries(text, text, max_size=2),
)
def test_what_is_written_is_read_as_the_same_agent(
    name: str, description: str, instructions: str, labels: dict[str, str], annotations: dict[str, str]
) -> None:
    wanted = agent(
        name, description=description, instructions=instructions, labels=labels, annotations=annotations, model="echo"
    )
    written = write_manifests([wanted, wanted])
    for found in parse_manifests([YamlSource(name="agents.yaml", text=written)]):
        assert found.metadata.model_dump() == {"name": name, "labels": labels, "annotations": annotations}
        assert found.spec.model_dump() == wanted.spec.model_dump()
    assert strip_control_sequences(written) == written


def test_text_of_several_lines_is_a_block_and_what_is_empty_is_left_out() -> None:
    wanted = agent(instructions="Greet the person.\nBe brief: één sentence.\n", labels={"team": "core"}, model="echo")
    assert write_manifest(wanted) == (
        "apiVersion: agentic.stigmer.ai/v1\n"
        "kind: Agent\n"
        "metadata:\n"
        "  name: greeter\n"
        "  labels:\n"
        "    team: core\n"
        "spec:\n"
        "  instructions: |\n"
        "    Greet the person.\n"
        "    Be brief: één sentence.\n"
        "  model: echo\n"
    )


def test_tools_are_written_as_they_were_applied() -> None:
    tools = [
        {"mcp": {"command": ["serve", "--all"], "env": {"KEY": "a: b"}, "cwd": "/srv"}, "allow": ["read", "write"]},
        {"mcp": {"url": "https://example.com/mcp", "headers": {"X-Key": "1"}}, "effects": {"send": "once"}},
    ]
    schema = {"type": "object", "required": ["n"]}
    wanted = agent(model="echo", tools=tools, output=schema, limits={"toolCalls": 3})
    written = write_manifest(wanted)
    assert written.endswith(
        """\
  model: echo
  tools:
  - mcp:
      command:
      - serve
      - --all
      env:
        KEY: 'a: b'
      cwd: /srv
    allow:
    - read
    - write
  - mcp:
      url: https://example.com/mcp
      headers:
        X-Key: '1'
    effects:
      send: once
  output:
    type: object
    required:
    - n
  limits:
    toolCalls: 3
"""
    )
    [found] = parse_manifests([YamlSource(name="agents.yaml", text=written)])
    assert found.spec.model_dump() == wanted.spec.model_dump()
