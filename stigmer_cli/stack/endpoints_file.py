"""What the last `up` started and where it listens, in one small file; cheap to import: every command reads it."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING
from urllib.parse import quote

from stigmer_cli.files import OWNER_ONLY, folder_number, write_atomically
from stigmer_cli.settings import Home

if TYPE_CHECKING:
    from stigmer_cli.temporal.dev_server import HttpEndpoints

STATE_FILE = "stack.json"
FOLDER = "folder"
"""The field that tells which folder the file is about: in a copy of the folder it names another stack."""


@dataclass(frozen=True, kw_only=True)
class Endpoints:
    """Where the parts of one stack are found. Ports are None where the stack does not own the part."""

    server_url: str
    temporal_address: str
    ui_url: str | None
    namespace: str
    ephemeral: bool
    started_at: str
    server_port: int
    temporal_port: int | None
    ui_port: int | None
    ui_source: str | None = None
    http_port: int | None = None
    metrics_port: int | None = None

    @property
    def owns_temporal(self) -> bool:
        """Whether the stack runs a Temporal of its own."""
        return self.temporal_port is not None

    @property
    def http_endpoints(self) -> "HttpEndpoints | None":
        """Where the stack's own Temporal listens for HTTP; None where it has none, or does not say."""
        from stigmer_cli.temporal.dev_server import HttpEndpoints  # noqa: PLC0415 - readers must not pay for it

        if self.http_port is None or self.metrics_port is None:
            return None
        return HttpEndpoints(
            source=self.ui_source, ui_port=self.ui_port, http_port=self.http_port, metrics_port=self.metrics_port
        )

    def workflow_url(self, workflow_id: str, run_id: str | None) -> str | None:
        """The page about a workflow in Temporal's web UI; None where the stack runs no UI."""
        if self.ui_url is None:
            return None
        page = f"{self.ui_url}/namespaces/{self.namespace}/workflows/{quote(workflow_id, safe='')}"
        return f"{page}/{run_id}" if run_id else page

    @property
    def ports(self) -> Mapping[str, tuple[int, ...]]:
        """The ports that the stack's own parts listen on, by part."""
        temporal = tuple(port for port in (self.temporal_port, self.ui_port) if port is not None)
        return {"temporal": temporal, "server": (self.server_port,)}


def read_endpoints(home: Home) -> Endpoints | None:
    """The endpoints that the last `up` in `home` recorded; None after `down`, or for an illegible or copied file."""
    try:
        found = json.loads((home.run / STATE_FILE).read_bytes())
        if found.get(FOLDER) not in (None, folder_number(home.run)):
            return None
        return Endpoints(**{field.name: found[field.name] for field in fields(Endpoints) if field.name in found})
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def write_endpoints(home: Home, found: Endpoints) -> None:
    """Write them atomically; raises OSError."""
    text = json.dumps({**asdict(found), FOLDER: folder_number(home.run)}, indent=2) + "\n"
    write_atomically(home.run / STATE_FILE, text.encode(), OWNER_ONLY)
