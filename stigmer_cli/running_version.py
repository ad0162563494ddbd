"""The version that this process was started with: what is installed may be another one by now, or be gone."""

from importlib.metadata import version

from stigmer_cli.errors import MachineError

RUNNING_VERSION = version("stigmer-cli")
"""Read once, when the process starts."""


class InstallationChanged(MachineError):
    """A module that this process needs was moved, removed or upgraded after the process was started."""

    code = "installation-changed"
    way_out = "stigmer restart"

    def __init__(self, error: ImportError) -> None:
        """`error` is what the import raised."""
        super().__init__(f"what this process was started from was moved, removed or upgraded: {error}")
