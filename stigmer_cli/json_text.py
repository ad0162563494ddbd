"""Values as JSON text that UTF-8 and both databases take."""

import json


def dump_json(value: object, *, is_canonical: bool = False) -> str:
    """`value` as JSON text without spaces; `is_canonical`: always the same for the same value.

    Raises ValueError or TypeError where it is no JSON.
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, sort_keys=is_canonical, separators=(",", ":"))
    try:
        text.encode()
    except UnicodeEncodeError:  # half a surrogate pair, which JSON can only escape
        return json.dumps(value, allow_nan=False, sort_keys=is_canonical, separators=(",", ":"))
    return text
