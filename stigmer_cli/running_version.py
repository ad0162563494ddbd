"""The version that this process was started with: what is installed may be another one by now, or be gone."""

from importlib.metadata import version

RUNNING_VERSION = version("stigmer-cli")
"""Read once, when the process starts."""
