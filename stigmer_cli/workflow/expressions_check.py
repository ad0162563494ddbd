"""Checks the expressions of a document: that each is jq, and that its variables are those of the document."""

from collections.abc import Iterator, Mapping, Sequence

from stigmer_cli.workflow.expression.program import RUNTIME, find_code_problems, is_variable_name
from stigmer_cli.workflow.expression.syntax import Code, Unclosed, split_template, unwrap
from stigmer_cli.workflow.json_value import Json, Path, write_path
from stigmer_cli.workflow.schema_check import Problem

ALWAYS = frozenset({"if", "when", "exceptWhen", "while", "until"})
"""Keys of the DSL whose text is an expression with or without `${ }`."""

TRANSFORMS = frozenset({("input", "from"), ("output", "as"), ("export", "as"), ("for", "in")})
"""The same, by the last two keys."""

DATA = frozenset({"schema", "set", "body", "data", "headers", "query", "metadata", "arguments", "environment", "with"})
"""Keys below which other keys are a person's own: a key `when` there means nothing to the DSL."""

PROBLEMS_MAX = 100
"""How many different expressions that are wrong are explained: to explain one takes as long as to check fifty."""

DEFAULT_VARIABLES = ("item", "index", "error")


def find_expression_problems(data: Mapping[str, Json]) -> Sequence[Problem]:
    """The texts of `data` that are no expressions where they should be. `data` fits the schema."""
    known = frozenset({*RUNTIME, *DEFAULT_VARIABLES, *_list_declared(data)})
    problems: list[Problem] = []
    codes: dict[str, list[Path]] = {}
    checked = {key: value for key, value in data.items() if key != "document"}
    for path, text, is_code in _list_texts(checked, (), is_data=False):
        try:
            for code in _list_codes(text, is_code=is_code):
                codes.setdefault(code, []).append(path)
        except Unclosed as error:
            problems.append(Problem(path=path, text=f"{write_path(path)}: {error}"))
    for count, (code, reason) in enumerate(find_code_problems(codes, known)):
        if count == PROBLEMS_MAX:
            text = f"more expressions than {PROBLEMS_MAX} are wrong: the others are not checked"
            return [*problems, Problem(path=(), text=text)]
        problems += (Problem(path=path, text=f"{write_path(path)}: no expression: {reason}") for path in codes[code])
    return problems


def _list_declared(value: Json) -> Iterator[str]:
    """The variables that loops, iterators and catches of `value` declare."""
    if isinstance(value, list):
        for item in value:
            yield from _list_declared(item)
    if not isinstance(value, dict):
        return
    for key, inner in value.items():
        if isinstance(inner, dict) and key in {"for", "catch", "foreach"}:
            names = (inner.get(word) for word in ("each", "at", "as", "item"))
            yield from (name for name in names if isinstance(name, str) and is_variable_name(name))
        yield from _list_declared(inner)


def _list_texts(value: Json, path: Path, *, is_data: bool) -> Iterator[tuple[Path, str, bool]]:
    """Each text, its place, and whether all of it is an expression, with or without `${ }`."""
    match value:
        case dict():
            for key, inner in value.items():
                if key != "schema" or is_data:
                    yield from _list_texts(inner, (*path, key), is_data=is_data or _begins_data(path, key))
        case list():
            for number, inner in enumerate(value):
                yield from _list_texts(inner, (*path, str(number)), is_data=is_data)
        case str():
            yield path, value, not is_data and _is_code(path)
        case _:
            return


def _begins_data(path: Path, key: str) -> bool:
    """Whether what is below `key` is a person's own data. `with` of an `errors` or an event is, and that of a call."""
    return key in DATA and path[-1:] != ("do",) and not _is_name(path)


def _is_name(path: Path) -> bool:
    """Whether the next key is the name of a task or of a case: those stand in a list."""
    return bool(path) and path[-1].isdecimal()


def _is_code(path: Path) -> bool:
    is_correlated = path[-1] == "from" and path[-3:-2] == ("correlate",)
    return (path[-1] in ALWAYS and not _is_name(path[:-1])) or path[-2:] in TRANSFORMS or is_correlated


def _list_codes(text: str, *, is_code: bool) -> Sequence[str]:
    """The expressions in `text`. Raises Unclosed."""
    return [unwrap(text)] if is_code else [part.text for part in split_template(text) if isinstance(part, Code)]
