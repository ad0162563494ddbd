"""Parses manifests: YAML to requests, with file, line and column for every problem."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import BinaryIO

from stigmer_cli.api.resources import AgentManifest
from stigmer_cli.cli.input_file import read_input_file
from stigmer_cli.domain.model_name import SCRIPT
from stigmer_cli.errors import ConfigError
from stigmer_cli.runner.model.script_file import read_script
from stigmer_cli.stack.first_agent import list_yaml_files
from stigmer_cli.yaml_source import Place, YamlSource, format_problem, parse_documents

STDIN = "-"
STDIN_NAME = "<stdin>"
FILE_MAX = 4 * 1024 * 1024


def read_sources(names: Sequence[str], stdin: BinaryIO) -> Sequence[YamlSource]:
    """The files `names`, and the YAML files of each folder; `-` is `stdin`.

    Raises ConfigError for one that cannot be read or is too large, and for a folder without YAML files.
    """
    return [_read_source(file, stdin) for name in names for file in _list_files(name)]


def parse_manifests(sources: Sequence[YamlSource]) -> Sequence[AgentManifest]:
    """Every document of every source, in order; raises ConfigError that lists every problem."""
    manifests: list[AgentManifest] = []
    problems: list[str] = []
    for source in sources:
        found, mistakes = find_agents(source)
        manifests += found
        problems += mistakes
    refuse_problems(problems)
    refuse_empty(has_any=bool(manifests))
    return manifests


def find_agents(source: YamlSource) -> tuple[Sequence[AgentManifest], Sequence[str]]:
    """The agents of `source`, and every mistake in it, a line each."""
    manifests: list[AgentManifest] = []
    problems: list[str] = []
    for found in parse_documents(source, AgentManifest, partial(_resolve_files, source)):
        if isinstance(found, AgentManifest):
            manifests.append(found)
        else:
            problems.extend(found)
    return manifests, problems


def refuse_problems(problems: Sequence[str]) -> None:
    """Raise ConfigError that lists `problems`, if there are any."""
    if problems:
        raise ConfigError("\n       ".join(problems), hint="nothing was applied; correct the file and apply it again")


def refuse_empty(*, has_any: bool) -> None:
    """Raise ConfigError for files that hold nothing."""
    if not has_any:
        raise ConfigError("the input holds no document", hint="stigmer apply --help shows an example")


def _list_files(name: str) -> Sequence[str]:
    if not Path(name).is_dir():
        return [name]
    files = list_yaml_files(Path(name))
    if not files:
        raise ConfigError(f"{name} has no YAML file (*.yaml, *.yml)", hint="stigmer apply -f FILE")
    return [str(file) for file in files]


def _read_source(name: str, stdin: BinaryIO) -> YamlSource:
    if name == STDIN:
        data = stdin.read(FILE_MAX + 1)
    else:
        data = read_input_file(name, bytes_max=FILE_MAX, hint="stigmer apply -f FILE")
    shown = STDIN_NAME if name == STDIN else name
    if len(data) > FILE_MAX:
        raise ConfigError(
            f"{shown} is larger than {FILE_MAX // 1024 // 1024} MiB",
            hint="split it, and apply the folder: stigmer apply -f DIRECTORY",
        )
    try:
        # Each document may begin with a mark of the encoding (YAML 1.2, 5.2), as where files were put together.
        return YamlSource(name=shown, text=data.decode("utf-8-sig").replace("\n\ufeff", "\n"))
    except UnicodeDecodeError as error:
        raise ConfigError(f"{shown} is not UTF-8 text (byte {error.start})", hint="save it as UTF-8") from error


def _resolve_files(source: YamlSource, data: object, places: Mapping[tuple[str, ...], Place]) -> Sequence[str]:
    """Give each file and folder that a manifest names an absolute path; returns what is wrong with its script."""
    spec = data.get("spec") if isinstance(data, dict) else None
    if not isinstance(spec, dict):
        return []
    folder = Path() if source.name == STDIN_NAME else Path(source.name).parent
    tools = spec.get("tools")
    for server in tools if isinstance(tools, list) else ():
        mcp = server.get("mcp") if isinstance(server, dict) else None
        if isinstance(mcp, dict):
            _resolve_folder(mcp, folder)
    problem = _resolve_script(spec, folder)
    return [format_problem(source, places["spec", "model"], f"spec.model: {problem}")] if problem else []


def _resolve_folder(mcp: dict[str, object], folder: Path) -> None:
    """A command with a relative path is one of the manifest's folder, unless it says which folder it starts in."""
    command, cwd = mcp.get("command"), mcp.get("cwd")
    program = command[0] if isinstance(command, list) and command else None
    if isinstance(program, str) and "/" in program and not program.startswith("/") and cwd is None:
        mcp["cwd"] = str(folder.absolute())
    if isinstance(cwd, str) and cwd:
        mcp["cwd"] = str((folder / Path(cwd).expanduser()).absolute())


def _resolve_script(spec: dict[str, object], folder: Path) -> str:
    """Why the script that `spec` names cannot be played; empty if it can, or there is none."""
    model = spec.get("model")
    name = model.removeprefix(SCRIPT).strip() if isinstance(model, str) and model.startswith(SCRIPT) else ""
    if not name:
        return ""
    file = (folder / Path(name).expanduser()).absolute()
    spec["model"] = f"{SCRIPT}{file}"
    try:
        read_script(file)
    except ConfigError as error:
        return error.message
    return ""
