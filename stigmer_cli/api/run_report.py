"""What every report of a run names."""

from typing import Annotated

from pydantic import Field

from stigmer_cli.api.wire import Asked

NUMBER_MAX = 2**31 - 1
"""What a column of the store holds: an epoch or an attempt beyond it is nonsense, and is refused as such."""

Number = Annotated[int, Field(ge=1, le=NUMBER_MAX)]


class RunReport(Asked):
    """What every report names: the epoch of the execution, and the run that reports."""

    epoch: Number
    run: str = Field(min_length=1, max_length=100)
