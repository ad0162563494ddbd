"""A second installation of Stigmer in a virtual environment of its own, which can be moved and removed."""

import re
import subprocess
import sys
import sysconfig
from pathlib import Path
from shutil import copytree

import stigmer_cli
from stigmer_cli.temporal.dev_server import find_binary

OURS = re.compile(r"stigmer_cli|_editable_impl_stigmer_cli|.*\.pth$")
ENTRY = "from stigmer_cli.cli.entry import main; main()"


class SecondInstallation:
    """A copy of the package in the virtual environment `folder`, with links to all that it depends on."""

    def __init__(self, folder: Path, *, version: str) -> None:
        self.folder = folder
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True, timeout=60)
        ours = Path(sysconfig.get_path("purelib"))
        theirs = folder / ours.relative_to(sys.prefix)
        for entry in ours.iterdir():
            if not OURS.match(entry.name):
                (theirs / entry.name).symlink_to(entry)
        package = Path(stigmer_cli.__file__).parent
        copytree(package, theirs / package.name)
        name = f"stigmer_cli-{version}.dist-info"
        (theirs / name).mkdir()
        (theirs / name / "METADATA").write_text(f"Metadata-Version: 2.1\nName: stigmer-cli\nVersion: {version}\n")
        (folder / "bin" / "temporal").symlink_to(find_binary(None))
        script = folder / "bin" / "stigmer"
        script.write_text(f"#!{folder}/bin/python\n{ENTRY}\n")
        script.chmod(0o755)

    @property
    def command(self) -> str:
        """Its console script."""
        return str(self.folder / "bin" / "stigmer")

    @property
    def python(self) -> str:
        """What its parts are started from."""
        return str(self.folder / "bin" / "python")

    def move(self) -> None:
        """Move it away, as an upgrade that puts another one at another place."""
        self.folder.rename(self.folder.with_name(f"{self.folder.name}-moved"))
