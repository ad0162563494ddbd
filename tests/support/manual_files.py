"""The files that pages of the manual let a reader write: their blocks of YAML whose first line is the file's name."""

import re
from collections.abc import Mapping
from pathlib import Path

from stigmer_cli.cli.help.topics import read_page

FILE = re.compile(r"^```yaml\n# (\S+\.yaml)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def read_files(topic: str) -> Mapping[str, str]:
    """The files of the page `topic`, by name."""
    return {name: f"# {name}\n{text}" for name, text in FILE.findall(read_page(topic))}


def write_files(topic: str, folder: Path) -> None:
    """Write the files of the page `topic` into `folder`."""
    for name, text in read_files(topic).items():
        (folder / name).write_text(text)
