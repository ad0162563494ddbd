"""Column types that mean the same in both databases: moments, words and small JSON objects."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from sqlalchemy import BigInteger, Dialect, Text, TypeDecorator
from sqlalchemy.types import TypeEngine

from stigmer_cli.errors import RequestError

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def micros(moment: datetime) -> int:
    """Microseconds since 1970 in UTC, exact; `moment` is aware."""
    return (moment - _EPOCH) // _MICROSECOND


def moment(since_1970_us: int) -> datetime:
    """The inverse of `micros`, in UTC."""
    return _EPOCH + since_1970_us * _MICROSECOND


def check_text(text: str) -> str:
    """`text` if both databases can hold it; raises RequestError for a NUL or half a surrogate pair."""
    if "\0" in text:
        raise RequestError("a text holds a NUL character, which cannot be stored")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise RequestError("a text holds half of a surrogate pair, which is no character") from None
    return str(text)


class Moment(TypeDecorator[datetime]):
    """A point in time as microseconds since 1970: sorts and compares alike everywhere, and loses nothing."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:  # noqa: ARG002 (SQLAlchemy's signature)
        """The stored form."""
        return None if value is None else micros(value)

    def process_result_value(self, value: int | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 (SQLAlchemy's signature)
        """The aware datetime in UTC."""
        return None if value is None else moment(value)


class Words(TypeDecorator[str]):
    """Text compared by code point in both databases, whatever the collation of the PostgreSQL at hand."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[str]:
        """PostgreSQL sorts by locale unless told otherwise; keyset paging needs one order."""
        return dialect.type_descriptor(Text(collation="C") if dialect.name == "postgresql" else Text())

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002 (SQLAlchemy's signature)
        """The text, if both databases can hold it."""
        return None if value is None else check_text(value)


class Document(TypeDecorator[Mapping[str, object]]):
    """A small JSON object as text, with its keys in order, so that equal objects are equal texts."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Mapping[str, object] | None, dialect: Dialect) -> str | None:  # noqa: ARG002 (SQLAlchemy's signature)
        """The JSON text."""
        if value is None:
            return None
        for key, item in value.items():
            check_text(key)
            if isinstance(item, str):
                check_text(item)
        return json.dumps(dict(value), ensure_ascii=False, sort_keys=True, separators=(",", ":"))

    def process_result_value(self, value: str | None, dialect: Dialect) -> Mapping[str, object] | None:  # noqa: ARG002 (SQLAlchemy's signature)
        """The object."""
        if value is None:
            return None
        document: dict[str, object] = json.loads(value)
        return document
