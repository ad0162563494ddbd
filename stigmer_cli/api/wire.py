"""What every body on the wire has in common: camelCase names, strictness for what comes in."""

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, JsonValue, PlainSerializer
from pydantic.alias_generators import to_camel
from pydantic_core import CoreSchema
from pydantic_core.core_schema import any_schema

from stigmer_cli.clock import iso

Moment = Annotated[datetime, PlainSerializer(iso, when_used="json")]
"""A time in UTC, written with milliseconds."""


class _AsItIs:
    """Takes a value without a look at it: JsonValue asks a function of Python about each value in it."""

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        return any_schema()


PlainJson = Annotated[JsonValue, _AsItIs()]
"""JSON that may be megabytes long: 8 MB of many small values take a tenth of the time that JsonValue takes."""

PlainObject = Annotated[dict[str, JsonValue], _AsItIs()]
"""As `PlainJson`, and an object."""


class Sent(BaseModel):
    """A body that a client may meet in a newer version: unknown fields are left alone."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        frozen=True,
        extra="ignore",
        defer_build=True,  # a command uses a few of all bodies, and each takes half a millisecond to build
    )

    def to_wire(self) -> dict[str, object]:
        """The JSON object, in camelCase."""
        return self.model_dump(mode="json", by_alias=True)


class Asked(Sent):
    """A body that the server is asked to act on: an unknown field is an error, never ignored."""

    model_config = ConfigDict(extra="forbid")
