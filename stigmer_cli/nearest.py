"""The known name that is nearest to a mistyped one."""

from collections.abc import Iterable


def suggest_nearest(word: str, names: Iterable[str]) -> str:
    """`; did you mean NAME?` for the end of a sentence; empty if none of `names` is near to `word`."""
    import difflib  # noqa: PLC0415 - for mistakes only

    close = difflib.get_close_matches(word, list(names), n=1)
    return f"; did you mean {close[0]}?" if close else ""
