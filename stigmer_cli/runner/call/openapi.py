"""`call: openapi`: an operation of an OpenAPI document (2.0, 3.0, 3.1), as the request that it stands for."""

import json
from collections.abc import Mapping, Sequence
from typing import cast
from urllib.parse import quote, unquote, urljoin, urlsplit

from stigmer_cli.domain.step import Effect
from stigmer_cli.runner.call.openapi_parameter import write_delimited, write_pairs, write_parameter
from stigmer_cli.runner.call.resource import Resources
from stigmer_cli.workflow.error import ErrorType, make_error
from stigmer_cli.workflow.json_value import Json
from stigmer_cli.workflow.runtime import CallRequest

METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
REFERENCES_MAX = 100
FORM = "application/x-www-form-urlencoded"


class OpenApiTranslation:
    """Fetches the document, and finds the operation in it."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources

    def is_needed(self, arguments: Mapping[str, Json], said: Effect | None) -> bool:  # noqa: ARG002
        """The document says what the request is."""
        return True

    async def translate(self, request: CallRequest) -> tuple[str, Mapping[str, Json]]:
        """`http` and its arguments. Raises WorkflowError: no document, no such operation, a parameter is missing."""
        arguments = request.arguments
        address = str(arguments["document"])
        data, place = await self._resources.locate_document(address, request.resource_policy, "OpenAPI document")
        if not ("openapi" in data or "swagger" in data):
            raise make_error(ErrorType.CONFIGURATION, f"{address} is no OpenAPI document")
        document = Document(data)
        path, method, operation = _find_operation(document, str(arguments["operationId"]))
        given = arguments.get("parameters") or {}
        if not isinstance(given, Mapping):
            raise make_error(ErrorType.CONFIGURATION, "the parameters of the operation are no mapping")
        filled = _Request(document, _find_base(document, place, operation), path)
        filled.fill(operation, given)
        kept = {key: arguments[key] for key in ("output", "redirect") if key in arguments}
        return "http", {"method": method, **filled.make_arguments(), **kept}


class Document:
    """An OpenAPI document, whose references are followed within it."""

    def __init__(self, data: Mapping[str, Json]) -> None:
        self.data = data
        self.is_version_2 = "swagger" in data

    def resolve(self, value: Json) -> Mapping[str, Json]:
        """`value`, or what it refers to. Raises WorkflowError for a reference that leads nowhere."""
        for _ in range(REFERENCES_MAX):
            if not isinstance(value, Mapping) or not isinstance(value.get("$ref"), str):
                return value if isinstance(value, Mapping) else {}
            reference = str(value["$ref"])
            value = self._look_up(reference)
            if value is None:
                raise make_error(ErrorType.CONFIGURATION, f"the OpenAPI document refers to {reference}, and has none")
        raise make_error(ErrorType.CONFIGURATION, "the references of the OpenAPI document have no end")

    def _look_up(self, reference: str) -> Json:
        if not reference.startswith("#/"):
            return None
        found: Json = self.data
        for part in reference.removeprefix("#/").split("/"):
            name = unquote(part).replace("~1", "/").replace("~0", "~")
            if isinstance(found, list):
                found = found[int(name)] if name.isdigit() and int(name) < len(found) else None
            else:
                found = found.get(name) if isinstance(found, Mapping) else None
        return found


def _find_operation(document: Document, wanted: str) -> tuple[str, str, Mapping[str, Json]]:
    """Path, method, and the operation with the parameters and servers of its path."""
    known: list[str] = []
    for path, item in document.resolve(document.data.get("paths")).items():
        common = document.resolve(item)
        for method in METHODS:
            operation = common.get(method)
            if isinstance(operation, Mapping):
                if operation.get("operationId") == wanted:
                    return path, method, _complete(document, common, operation)
                known.append(str(operation.get("operationId")))
    shown = ", ".join(known[:20])
    raise make_error(ErrorType.CONFIGURATION, f"the OpenAPI document has no operation {wanted}; it has {shown}")


def _complete(document: Document, common: Mapping[str, Json], operation: Mapping[str, Json]) -> Mapping[str, Json]:
    """`operation`, with what it takes over from its path."""
    parameters: dict[tuple[Json, Json], Json] = {}
    for declared in (*_list(common.get("parameters")), *_list(operation.get("parameters"))):
        parameter = document.resolve(declared)
        parameters[str(parameter.get("name")), str(parameter.get("in"))] = parameter
    servers = operation.get("servers") or common.get("servers")
    return {**operation, "parameters": list(parameters.values()), "servers": servers}


def _list(value: Json) -> Sequence[Json]:
    return value if isinstance(value, list) else ()


class _Request:
    """The request of an operation, filled with parameters."""

    def __init__(self, document: Document, base: str, path: str) -> None:
        self._document = document
        self._base = base
        self._path = path
        self._query: dict[str, Json] = {}
        self._written: list[str] = []
        """What of the query stands in the address, as it is: `http` would encode its commas."""
        self._headers: dict[str, Json] = {}
        self._form: dict[str, Json] = {}
        self._body: Json = None

    def fill(self, operation: Mapping[str, Json], given: Mapping[str, Json]) -> None:
        """Put each parameter where the operation has it; what it does not name are properties of the body.

        A parameter that is null is not given: as an empty text in a path it would lead to another one.
        """
        parameters = [self._document.resolve(one) for one in _list(operation["parameters"])]
        names = {str(parameter.get("name")) for parameter in parameters}
        left = {name: value for name, value in given.items() if name not in names}
        for parameter in parameters:
            self._fill_parameter(parameter, _find_given(parameter, parameters, given), has_properties=bool(left))
        declared = next(filter(_is_body, parameters), None) if self._document.is_version_2 else None
        if left and declared is not None and self._body is None:  # its properties need not be under its name
            self._body, left = self._add_shared(declared.get("schema"), given, left), {}
        if "requestBody" in operation:
            left = self._set_body(self._document.resolve(operation["requestBody"]), given, left)
        if left:
            raise make_error(ErrorType.CONFIGURATION, f"the operation has no parameter {next(iter(left))}")
        self._set_types(operation, declared)

    def make_arguments(self) -> Mapping[str, Json]:
        """The arguments of `call: http`."""
        body = self._form or self._body
        filled = {"query": self._query, "headers": self._headers}
        return {
            "endpoint": "?".join(filter(None, [self._base.rstrip("/") + self._path, "&".join(self._written)])),
            **{key: value for key, value in filled.items() if value},
            **({} if body is None else {"body": body}),
        }

    def _fill_parameter(self, parameter: Mapping[str, Json], value: Json, *, has_properties: bool) -> None:
        """`has_properties`: the body can be made of what no parameter has the name of."""
        if value is not None:
            self._put(parameter, value)
        elif parameter.get("required") is True and not (_is_body(parameter) and has_properties):
            self._put(parameter, self._find_default(parameter))

    def _add_shared(self, schema: Json, given: Mapping[str, Json], left: Mapping[str, Json]) -> dict[str, Json]:
        """`left`, and what both a parameter and a property of the body have the name of: it stands in both."""
        own = self._document.resolve(self._document.resolve(schema).get("properties"))
        writable = [name for name, about in own.items() if self._document.resolve(about).get("readOnly") is not True]
        return {**{name: given[name] for name in writable if given.get(name) is not None}, **left}

    def _find_default(self, parameter: Mapping[str, Json]) -> Json:
        """The value of a parameter that is not given. Raises WorkflowError where it has none."""
        schema = self._document.resolve(parameter.get("schema"))
        value = schema.get("default", parameter.get("default"))
        if value is None:
            name = parameter.get("name")
            raise make_error(ErrorType.CONFIGURATION, f"the parameter {name} of the operation is missing")
        return value

    def _put(self, parameter: Mapping[str, Json], value: Json) -> None:
        name = str(parameter.get("name"))
        match parameter.get("in"):
            case "path":
                self._path = self._path.replace(f"{{{name}}}", write_parameter(parameter, value))
            case "query":
                self._put_into_query(parameter, value)
            case "header":
                self._headers[name] = write_parameter(parameter, value)
            case "cookie":
                before = self._headers.get("Cookie")
                pair = f"{name}={quote(write_parameter(parameter, value), safe=',')}"
                self._headers["Cookie"] = f"{before}; {pair}" if before else pair
            case "formData":
                pairs = write_pairs(parameter, value, is_version_2=True)
                self._form |= cast("dict[str, Json]", pairs)
            case _:
                self._body = value

    def _put_into_query(self, parameter: Mapping[str, Json], value: Json) -> None:
        is_version_2 = self._document.is_version_2
        if written := write_delimited(parameter, value, is_version_2=is_version_2):
            self._written.append(written)
        else:
            self._query |= cast("dict[str, Json]", write_pairs(parameter, value, is_version_2=is_version_2))

    def _set_body(self, body: Mapping[str, Json], given: Mapping[str, Json], left: dict[str, Json]) -> dict[str, Json]:
        """Make the body of the parameter `body`, or of all that are left; what is left then."""
        kinds = self._document.resolve(body.get("content"))
        kind = _choose_kind(list(kinds))
        schema = self._document.resolve(self._document.resolve(kinds.get(kind)).get("schema"))
        own = self._document.resolve(schema.get("properties"))
        if "body" in left and "body" not in own:
            self._body = left.pop("body")
        elif left:
            self._body, left = self._add_shared(schema, given, left), {}
        elif body.get("required") is True:
            raise make_error(
                ErrorType.CONFIGURATION, "the body of the operation is missing: give its properties, or body"
            )
        if self._body is not None and kind:
            self._set_kind(kind, schema)
        return left

    def _set_kind(self, kind: str, schema: Mapping[str, Json]) -> None:
        """Have the body sent as `kind`. A text that is to be one in JSON becomes that: `http` sends a text as it is."""
        self._headers["Content-Type"] = kind
        types = schema.get("type")
        is_text = "string" in (types if isinstance(types, list) else [types])
        if isinstance(self._body, str) and is_text and _is_json(kind):
            self._body = json.dumps(self._body, ensure_ascii=False)

    def _set_types(self, operation: Mapping[str, Json], declared: Mapping[str, Json] | None) -> None:
        """The types of the content that is sent and wanted, as the document has them; `declared` is the body."""
        data = self._document.data
        consumed = [str(kind) for kind in _list(operation.get("consumes", data.get("consumes")))]
        produced = [str(kind) for kind in _list(operation.get("produces", data.get("produces")))]
        for response in self._document.resolve(operation.get("responses")).values():
            produced += self._document.resolve(self._document.resolve(response).get("content"))
        if self._form:
            self._headers["Content-Type"] = FORM if FORM in consumed or not consumed else consumed[0]
        elif declared is not None and self._body is not None and consumed:
            self._set_kind(_choose_kind(consumed), self._document.resolve(declared.get("schema")))
        if "application/json" in produced:
            self._headers.setdefault("Accept", "application/json")


def _is_body(parameter: Mapping[str, Json]) -> bool:
    return parameter.get("in") == "body"


def _find_given(
    parameter: Mapping[str, Json], parameters: Sequence[Mapping[str, Json]], given: Mapping[str, Json]
) -> Json:
    """The value for `parameter`: all of one name have the same, but the body leaves it to the others."""
    name = parameter.get("name")
    is_left = _is_body(parameter) and any(other.get("name") == name for other in parameters if not _is_body(other))
    return None if is_left else given.get(str(name))


def _is_json(kind: str) -> bool:
    essence = kind.partition(";")[0].strip().lower()
    return essence == "application/json" or essence.endswith("+json")


def _choose_kind(kinds: Sequence[str]) -> str:
    """The type of a body: JSON if the operation takes that, or a form, or the first one."""
    usable = [kind for kind in kinds if kind == "application/json" or kind.endswith("+json") or kind == FORM]
    return next(iter([*(kind for kind in usable if kind == "application/json"), *usable, *kinds]), "")


def _find_base(document: Document, address: str, operation: Mapping[str, Json]) -> str:
    """The address that paths are relative to: that of the first server, or host and base path of version 2."""
    data = document.data
    if document.is_version_2:
        own = urlsplit(address)
        schemes = [str(scheme) for scheme in _list(operation.get("schemes") or data.get("schemes"))]
        scheme = own.scheme if own.scheme in schemes or not schemes else schemes[0]
        return f"{scheme}://{data.get('host') or own.netloc}{data.get('basePath') or ''}"
    servers = _list(operation.get("servers")) or _list(data.get("servers"))
    server = document.resolve(next(iter(servers), {}))
    return urljoin(address, _fill_server(str(server.get("url", "/")), document.resolve(server.get("variables"))))


def _fill_server(url: str, variables: Mapping[str, Json]) -> str:
    for name, about in variables.items():
        default = about.get("default") or next(iter(_list(about.get("enum"))), "") if isinstance(about, Mapping) else ""
        url = url.replace(f"{{{name}}}", str(default))
    return url
