"""Keeps the result of a tool short enough for the context of a model, and says what was left out."""

import json
from collections.abc import Mapping

RESULT_MAX = 20_000
"""Characters of a result as JSON. Some clients refuse more than 25,000 tokens, and all of them pay for each."""

TEXT_MAXES = (16_000, 8_000, 4_000, 2_000, 1_000)
"""To how many characters the texts of a result are cut, the mildest first, before a list is shortened."""

TEXT_MIN = 200
"""To how many they are cut if that does not help either."""

NAMES_MAX = 30
"""How many entries of an object within a result are kept."""

CUT_ROOM = 400
"""Characters that are kept free for the sentence that says what was cut."""


def measure(value: object) -> int:
    """The length of `value` as JSON."""
    return len(json.dumps(value, ensure_ascii=False))


def bound_result(
    result: Mapping[str, object], *, more: str, is_newest_last: bool = False, result_max: int = RESULT_MAX
) -> dict[str, object]:
    """`result`, whose JSON has at most `result_max` characters; what was cut, and how to get it (`more`), is in `cut`.

    First texts are cut, then the longest list loses its last items, or its first ones with `is_newest_last`.
    """
    if measure(result) <= result_max:
        return dict(result)
    room = result_max - CUT_ROOM
    text_max = next((limit for limit in TEXT_MAXES if measure(_cut_all(result, limit)) <= room), TEXT_MAXES[-1])
    found = _cut_all(result, text_max)
    kept = _cut_lists(found, room, is_newest_last=is_newest_last)
    if measure(found) > room:
        text_max, found = TEXT_MIN, _cut_all(found, TEXT_MIN)
    is_cut = any(value != result[name] for name, value in found.items() if name not in kept) or not kept
    told = [f"texts are cut at {text_max:,} characters"] if is_cut else []
    told += [f"of {name} only {left} of {whole} are here" for name, (left, whole) in kept.items()]
    return {**found, "cut": f"The result was too long: {', and '.join(told)}. {more}"}


def _cut_all(result: Mapping[str, object], limit: int) -> dict[str, object]:
    return {name: _cut(value, limit) for name, value in result.items()}


def _cut(value: object, limit: int) -> object:
    match value:
        case str() if len(value) > limit:
            return f"{value[:limit]}… [{len(value) - limit:,} more characters]"
        case Mapping():
            first = list(value.items())[:NAMES_MAX]
            return {str(name)[:TEXT_MIN]: _cut(one, limit) for name, one in first}
        case list():
            return [_cut(one, limit) for one in value]
        case _:
            return value


def _cut_lists(found: dict[str, object], room: int, *, is_newest_last: bool) -> dict[str, tuple[int, int]]:
    """Shorten the lists of `found` in place until it fits; returns for each how many items are left, of how many."""
    whole = {name: len(value) for name, value in found.items() if isinstance(value, list)}
    while measure(found) > room:
        lists = {name: value for name, value in found.items() if isinstance(value, list) and value}
        if not lists:
            break
        name = max(lists, key=lambda name: measure(lists[name]))
        items, left = lists[name], len(lists[name]) * 3 // 4
        found[name] = (items[-left:] if is_newest_last else items[:left]) if left else []
    return {
        name: (len(value), whole[name])
        for name, value in found.items()
        if isinstance(value, list) and len(value) < whole[name]
    }
