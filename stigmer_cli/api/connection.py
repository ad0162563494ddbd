"""What the server's connection to Temporal may be; scripts may rely on these words."""

from enum import StrEnum


class ConnectionState(StrEnum):
    """A state of the connection to Temporal."""

    CONNECTING = "CONNECTING"
    CONNECTED = "CONNECTED"
    SUSPECT = "SUSPECT"
    DISCONNECTED = "DISCONNECTED"
    MISCONFIGURED = "MISCONFIGURED"
    STOPPED = "STOPPED"
