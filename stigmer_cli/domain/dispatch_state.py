"""How far an execution has come on its way to Temporal."""

from enum import StrEnum


class DispatchState(StrEnum):
    """How far an execution has come on its way to Temporal."""

    QUEUED = "queued"
    SUBMITTED = "submitted"
    WITHDRAWN = "withdrawn"
