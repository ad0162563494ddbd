"""Manifests: what is taken, and how what is wrong is told."""

import io
from pathlib import Path

import pytest

from stigmer_cli.cli.agents.manifest import parse_manifests, read_sources
from stigmer_cli.errors import ConfigError
from stigmer_cli.yaml_source import YamlSource

HEAD = "apiVersion: agentic.stigmer.ai/v1\nkind: Agent\n"


def _problem(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        parse_manifests([YamlSource(name="agents.yaml", text=text)])
    assert caught.value.exit_code == 2
    return caught.value.message


def test_the_description_is_read_from_the_spec() -> None:
    text = HEAD + "metadata: {name: Greeter}\nspec: {description: says hello, model: echo}\n"
    [manifest] = parse_manifests([YamlSource(name="x", text=text)])
    assert manifest.spec.description == "says hello"
    assert manifest.metadata.name == "Greeter"


def test_several_documents_and_empty_ones_are_one_list() -> None:
    one = HEAD + "metadata: {name: a}\n"
    two = HEAD + "metadata: {name: b}\n"
    found = parse_manifests([YamlSource(name="x", text=f"---\n{one}---\n---\n{two}")])
    assert [manifest.metadata.name for manifest in found] == ["a", "b"]


@pytest.mark.parametrize("between", ["---\n\ufeff", "\ufeff---\n", "---\r\n\ufeff"])
def test_files_that_begin_with_a_mark_of_their_encoding_can_be_put_together(tmp_path: Path, between: str) -> None:
    file = tmp_path / "agents.yaml"
    file.write_bytes(f"\ufeff{HEAD}metadata: {{name: a}}\n{between}{HEAD}metadata: {{name: b}}\n".encode())
    found = parse_manifests(read_sources([str(file)], io.BytesIO()))
    assert [manifest.metadata.name for manifest in found] == ["a", "b"]


def test_an_unknown_key_names_the_nearest_known_one_with_line_and_column() -> None:
    text = HEAD + "metadata:\n  name: a\nspec:\n  model: echo\n  instrucions: hi\n"
    assert _problem(text) == ("agents.yaml:7:3: unknown key 'spec.instrucions'; did you mean 'instructions'?")


def test_a_description_in_the_metadata_is_refused() -> None:
    text = HEAD + "metadata:\n  name: a\n  description: x\n"
    assert _problem(text) == (
        "agents.yaml:5:3: unknown key 'metadata.description'; known keys: name, labels, annotations"
    )


def test_a_missing_name_points_at_the_metadata() -> None:
    assert _problem(HEAD + "metadata: {}\n") == "agents.yaml:3:1: metadata.name is missing"


def test_a_key_that_stands_twice_is_refused() -> None:
    text = HEAD + "metadata:\n  name: a\n  name: b\n"
    assert _problem(text) == "agents.yaml:5:3: the key 'name' appears twice"


def test_all_errors_are_reported_at_once() -> None:
    text = f"{HEAD}metadata: {{nme: a}}\n---\n{HEAD}metadata: {{name: b}}\nspek: 1\n"
    assert _problem(text).split("\n       ") == [
        "agents.yaml:3:1: metadata.name is missing",
        "agents.yaml:3:12: unknown key 'metadata.nme'; did you mean 'name'?",
        "agents.yaml:8:1: unknown key 'spek'; did you mean 'spec'?",
    ]


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("{", "agents.yaml:2:1: "),
        ("a: [1, 2", "agents.yaml:2:1: "),
        ("- a\n- b\n", "agents.yaml:1:1: a document is a mapping"),
        ("[" * 2000, "agents.yaml:1:65: nested too deeply, or too many anchors and aliases"),
        ("a: \x00\n", "agents.yaml:1:1: "),
        ("a: *b\n", "agents.yaml:1:4: found undefined alias"),
        ("!!python/object:os.system {}\n", "agents.yaml:1:1: "),
        (
            HEAD + "metadata: {name: 2024-01-01}\n",
            "agents.yaml:3:12: metadata.name: YAML reads this as a date, and a text is needed: put it in quotes",
        ),
        (
            HEAD + "metadata: {name: no}\n",
            "agents.yaml:3:12: metadata.name: YAML reads this as true or false, and a text is needed: put it in quotes",
        ),
        (
            HEAD + "metadata: {name: x}\nspec: {description: 1.10}\n",
            "agents.yaml:4:8: spec.description: YAML reads this as a number, and a text is needed: put it in quotes",
        ),
        (HEAD + "metadata: {name: }\n", "agents.yaml:3:12: metadata.name: input should be a valid string"),
        ("? [a]\n: b\n", "agents.yaml:1:"),
        ("", "the input holds no document"),
    ],
)
def test_what_is_no_manifest_is_refused_with_a_place(text: str, start: str) -> None:
    assert _problem(text).startswith(start)


def test_a_bomb_of_aliases_is_refused_before_it_is_built() -> None:
    lines = ["a0: &a0 [x]"] + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 40)]
    assert "too many anchors and aliases" in _problem("\n".join(lines))


def test_a_hundred_thousand_anchors_are_refused_before_they_are_read() -> None:
    assert "too many anchors and aliases" in _problem("\n".join(f"a{n}: &a{n} 1" for n in range(100_000)))


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="no /dev/zero here")
@pytest.mark.parametrize(("name", "words"), [("/dev/zero", "it is a device"), ("-", "is larger than 4 MiB")])
def test_an_input_that_never_ends_is_refused(name: str, words: str) -> None:
    with Path("/dev/zero").open("rb") as stdin, pytest.raises(ConfigError, match=words):
        read_sources([name], stdin)


def test_a_script_gets_an_absolute_path_from_the_folder_of_its_manifest(tmp_path: Path) -> None:
    (tmp_path / "demo.yaml").write_text("- {text: hi}\n")
    text = HEAD + "metadata: {name: a}\nspec: {model: 'script:demo.yaml'}\n"
    [manifest] = parse_manifests([YamlSource(name=str(tmp_path / "agents.yaml"), text=text)])
    assert manifest.spec.model == f"script:{tmp_path / 'demo.yaml'}"


def test_what_is_wrong_with_a_script_is_told_where_the_manifest_names_it(tmp_path: Path) -> None:
    (tmp_path / "demo.yaml").write_text("- {txet: hi}\n")
    text = HEAD + "metadata: {name: a}\nspec:\n  model: script:demo.yaml\n"
    manifest, script = tmp_path / "agents.yaml", tmp_path / "demo.yaml"
    with pytest.raises(ConfigError) as caught:
        parse_manifests([YamlSource(name=str(manifest), text=text)])
    assert caught.value.message == (
        f"{manifest}:5:3: spec.model: {script}:1:4: unknown key '[0].txet'; did you mean 'text'?"
    )


TOOL_PROBLEMS = {
    "- {mpc: {url: http://a/}}": [
        "6:5: spec.tools[0].mcp is missing",
        "6:6: unknown key 'spec.tools[0].mpc'; did you mean 'mcp'?",
    ],
    "- mcp: {comand: [a]}": ["6:11: unknown key 'spec.tools[0].mcp.comand'; did you mean 'command'?"],
    "- mcp: {command: [a], url: http://a/}": ["6:5: spec.tools[0].mcp: a server has either a command or a url"],
    "- mcp: {url: 'http://a/${secrets.A}'}": ["6:5: spec.tools[0].mcp: a secret can stand in env and headers only"],
    "- mcp: {command: [a], env: {A: '${secrets.B}:${secrets.no-name}'}}": [
        (
            "6:31: spec.tools[0].mcp.env.A: 'no-name' is no name for a secret: use letters, digits and underscores, no"
            " digit first, at most 64 characters"
        )
    ],
    "- mcp: {}": ["6:5: spec.tools[0].mcp: a server has either a command or a url"],
    "- mcp: {url: ftp://a/}": [
        "6:5: spec.tools[0].mcp: the url has to begin with http:// or https://, and to name a host"
    ],
    "- mcp: {command: [a], headers: {A: b}}": [
        "6:5: spec.tools[0].mcp: headers belong to a url, and this server has a command"
    ],
    "- mcp: {command: [a]}\n    effects: {write: twice}": [
        "7:15: spec.tools[0].effects.write: input should be 'none', 'repeatable' or 'once'"
    ],
    "- mcp: {command: [a]}\n    approve: sometimes": [
        "7:5: spec.tools[0].approve: input should be 'always', 'never' or 'once-effects'"
    ],
}


@pytest.mark.parametrize("tools", TOOL_PROBLEMS)
def test_what_is_wrong_with_the_tools_is_told_where_it_stands(tools: str) -> None:
    text = f"{HEAD}metadata: {{name: a}}\nspec:\n  tools:\n  {tools}\n"
    assert _problem(text).split("\n       ") == [f"agents.yaml:{line}" for line in TOOL_PROBLEMS[tools]]


SPEC_PROBLEMS = {
    "output: {type: objekt}": (
        "5:3: spec.output: no JSON Schema at $.type: 'objekt' is not valid under any of the given schemas"
    ),
    "limits: {}": "5:3: spec.limits: limits needs one of turns, toolCalls, tokens, seconds and money",
    "limits: {turns: 0}": "5:12: spec.limits.turns: input should be greater than or equal to 1",
    "limits: {tools: 1}": "5:12: unknown key 'spec.limits.tools'; did you mean 'toolCalls'?",
}


@pytest.mark.parametrize("spec", SPEC_PROBLEMS)
def test_what_is_wrong_with_limits_and_output_is_told_where_it_stands(spec: str) -> None:
    assert _problem(f"{HEAD}metadata: {{name: a}}\nspec:\n  {spec}\n") == f"agents.yaml:{SPEC_PROBLEMS[spec]}"


def test_a_server_starts_in_a_folder_that_is_relative_to_its_manifest(tmp_path: Path) -> None:
    servers = ["{command: [./serve], env: {A: b}}", "{command: [serve], cwd: sub}", "{command: [serve]}"]
    tools = ", ".join(f"{{mcp: {server}}}" for server in servers)
    text = HEAD + f"metadata: {{name: a}}\nspec: {{tools: [{tools}]}}\n"
    [manifest] = parse_manifests([YamlSource(name=str(tmp_path / "agents.yaml"), text=text)])
    assert [server.mcp.cwd for server in manifest.spec.tools] == [str(tmp_path), str(tmp_path / "sub"), None]
