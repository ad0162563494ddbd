"""The first agent of a project: a manifest that runs at once, in the folder `agents` of the project."""

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from stigmer_cli.files import create_atomically

FOLDER = "agents"
FILE = "greeter.yaml"
READABLE = 0o644
"""Less the umask, as for every file that a person commits."""

FILES_MAX = 200
CHARS_MAX = 64 * 1024
MANIFEST = re.compile(r"^apiVersion: *['\"]?agentic\.stigmer\.ai/", re.MULTILINE)
NAME = re.compile(r"^metadata: *\{? *(?:\n +)?name: *['\"]?([a-z0-9-]+)", re.MULTILINE)
TEXT = b"""\
# The first agent of this project. Apply a change with: stigmer apply -f agents/
apiVersion: agentic.stigmer.ai/v1
kind: Agent
metadata: {name: greeter}
spec:
  description: says hello
  instructions: Greet the person who writes to you.
  # echo answers with your own message and needs no key. For a model of OpenAI: type
  # `stigmer secrets set OPENAI_API_KEY`, and write for example
  #   model: openai:gpt-5-mini
  model: echo
"""


@dataclass(frozen=True, kw_only=True)
class FirstAgent:
    """The agent to run first. `file` is its manifest, None where none could be made; `path` is what to apply."""

    name: str
    path: str
    file: Path | None
    is_new: bool = False


def make_first_agent(directory: Path) -> FirstAgent:
    """Make `agents/greeter.yaml` in `directory` unless there is a manifest already. Raises OSError."""
    folder = directory / FOLDER
    if folder.exists() and not folder.is_dir():
        return FirstAgent(name="greeter", path=f"{FOLDER}/", file=None)
    if found := find_first_agent(directory):
        return found
    _manifests, others = _look_for_manifests(folder)
    folder.mkdir(exist_ok=True)
    with suppress(FileExistsError):
        create_atomically(folder / FILE, TEXT, READABLE)
    path = f"{FOLDER}/{FILE}" if others else f"{FOLDER}/"
    return FirstAgent(name="greeter", path=path, file=folder / FILE, is_new=True)


def find_first_agent(directory: Path) -> FirstAgent | None:
    """The first agent of which there is a manifest in the folder `agents` of `directory`; None: there is none."""
    manifests, others = _look_for_manifests(directory / FOLDER)
    if not manifests:
        return None
    file, text = manifests[0]
    name = NAME.search(text)
    path = f"{FOLDER}/{file.name}" if others else f"{FOLDER}/"
    return FirstAgent(name=name[1] if name else file.stem, path=path, file=file)


def _look_for_manifests(folder: Path) -> tuple[Sequence[tuple[Path, str]], Sequence[Path]]:
    """The manifests in `folder` with their texts, and its other YAML files, which `apply` would refuse."""
    manifests, others = [], []
    for file in list_yaml_files(folder)[:FILES_MAX]:
        try:
            with file.open(encoding="utf-8-sig") as lines:
                text = lines.read(CHARS_MAX)
        except (OSError, UnicodeDecodeError):
            text = ""
        manifests.append((file, text)) if MANIFEST.search(text) else others.append(file)
    return manifests, others


def list_yaml_files(folder: Path) -> Sequence[Path]:
    """The YAML files directly in `folder`, by name; hidden ones, such as an editor's, are left out."""
    try:
        return sorted(
            path
            for path in folder.iterdir()
            if path.suffix in (".yaml", ".yml") and not path.name.startswith(".") and path.is_file()
        )
    except OSError:
        return []
