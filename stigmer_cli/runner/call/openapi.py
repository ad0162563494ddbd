"""`call: openapi`: an operation of an OpenAPI document (2.0, 3.0, 3.1), as the request that it stands for."""

from collections.abc import Mapping, Sequence
from typing import cast
from urllib.parse import quote, urljoin, urlsplit

import httpx

from stigmer_cli.workflow.error import ErrorType, make_error
from stigmer_cli.workflow.json_value import Json
from stigmer_cli.workflow.yaml_json import Malformed, read_yaml

DOCUMENT_BYTES_MAX = 16 * 1024 * 1024
METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
REFERENCES_MAX = 100


class OpenApiTranslation:
    """Fetches the document, and finds the operation in it."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def translate(self, arguments: Mapping[str, Json]) -> tuple[str, Mapping[str, Json]]:
        """`http` and its arguments. Raises WorkflowError: no document, no such operation, a parameter is missing."""
        address = str(arguments["document"])
        document = await self._fetch(address)
        path, method, operation = _find_operation(document, str(arguments["operationId"]))
        given = cast("Mapping[str, Json]", arguments.get("parameters") or {})
        request = _Request(document, address, path)
        request.fill(operation, given)
        kept = {key: arguments[key] for key in ("output", "redirect") if key in arguments}
        return "http", {"method": method, **request.make_arguments(), **kept}

    async def _fetch(self, address: str) -> "Document":
        try:
            response = await self._client.get(address, follow_redirects=True)
            response.raise_for_status()
            if len(response.content) > DOCUMENT_BYTES_MAX:
                raise make_error(ErrorType.COMMUNICATION, f"{address} is longer than {DOCUMENT_BYTES_MAX:,} bytes")
            data = next(read_yaml(response.text)).data
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise make_error(ErrorType.COMMUNICATION, f"{address}: {str(error) or type(error).__name__}") from error
        except (Malformed, StopIteration) as error:
            raise make_error(ErrorType.CONFIGURATION, f"{address} is no OpenAPI document: {error}") from error
        if not isinstance(data, dict) or not ("openapi" in data or "swagger" in data):
            raise make_error(ErrorType.CONFIGURATION, f"{address} is no OpenAPI document")
        return Document(data)


class Document:
    """An OpenAPI document, whose references are followed within it."""

    def __init__(self, data: Mapping[str, Json]) -> None:
        self.data = data

    def resolve(self, value: Json) -> Mapping[str, Json]:
        """`value`, or what it refers to. Raises WorkflowError for a reference that leads nowhere."""
        for _ in range(REFERENCES_MAX):
            if not isinstance(value, Mapping) or "$ref" not in value:
                return value if isinstance(value, Mapping) else {}
            reference = str(value["$ref"])
            value = self.data
            for part in reference.removeprefix("#/").split("/"):
                name = part.replace("~1", "/").replace("~0", "~")
                value = value.get(name) if isinstance(value, Mapping) else None
            if value is None:
                raise make_error(ErrorType.CONFIGURATION, f"the OpenAPI document refers to {reference}, and has none")
        raise make_error(ErrorType.CONFIGURATION, "the references of the OpenAPI document have no end")


def _find_operation(document: Document, wanted: str) -> tuple[str, str, Mapping[str, Json]]:
    """Path, method, and the operation with the parameters of its path."""
    known: list[str] = []
    for path, item in cast("Mapping[str, Json]", document.data.get("paths") or {}).items():
        common = document.resolve(item)
        for method in METHODS:
            operation = common.get(method)
            if isinstance(operation, Mapping):
                if operation.get("operationId") == wanted:
                    parameters = [*_list(common.get("parameters")), *_list(operation.get("parameters"))]
                    return path, method, {**operation, "parameters": parameters}
                known.append(str(operation.get("operationId")))
    shown = ", ".join(known[:20])
    raise make_error(ErrorType.CONFIGURATION, f"the OpenAPI document has no operation {wanted}; it has {shown}")


def _list(value: Json) -> Sequence[Json]:
    return value if isinstance(value, list) else ()


class _Request:
    """The request of an operation, filled with parameters."""

    def __init__(self, document: Document, address: str, path: str) -> None:
        self._document = document
        self._base = _find_base(document, address)
        self._path = path
        self._query: dict[str, Json] = {}
        self._headers: dict[str, Json] = {}
        self._form: dict[str, Json] = {}
        self._body: Json = None

    def fill(self, operation: Mapping[str, Json], given: Mapping[str, Json]) -> None:
        """Put each parameter where the operation has it; what it does not name are properties of the body."""
        left = dict(given)
        for declared in _list(operation["parameters"]):
            parameter = self._document.resolve(declared)
            name = str(parameter.get("name"))
            if name in left:
                self._put(str(parameter.get("in")), name, left.pop(name))
            elif parameter.get("required") is True:
                raise make_error(ErrorType.CONFIGURATION, f"the parameter {name} of the operation is missing")
        if "requestBody" in operation:
            self._body = left.pop("body", left or None)
            left = {}
            self._set_content_type(self._document.resolve(operation["requestBody"]))
        if left:
            raise make_error(ErrorType.CONFIGURATION, f"the operation has no parameter {next(iter(left))}")

    def make_arguments(self) -> Mapping[str, Json]:
        """The arguments of `call: http`."""
        body = self._form or self._body
        filled = {"query": self._query, "headers": self._headers, "body": body}
        return {
            "endpoint": self._base.rstrip("/") + self._path,
            **{key: value for key, value in filled.items() if value},
        }

    def _put(self, place: str, name: str, value: Json) -> None:
        match place:
            case "path":
                text = value if isinstance(value, str) else str(value)
                self._path = self._path.replace(f"{{{name}}}", quote(text, safe=""))
            case "query":
                self._query[name] = value
            case "header":
                self._headers[name] = value
            case "cookie":
                before = self._headers.get("Cookie")
                self._headers["Cookie"] = f"{f'{before}; ' if before else ''}{name}={value}"
            case "formData":
                self._form[name] = value
                self._headers["Content-Type"] = "application/x-www-form-urlencoded"
            case _:
                self._body = value

    def _set_content_type(self, body: Mapping[str, Json]) -> None:
        kinds = cast("Mapping[str, Json]", body.get("content") or {})
        if kinds and "application/json" not in kinds and self._body is not None:
            self._headers["Content-Type"] = next(iter(kinds))


def _find_base(document: Document, address: str) -> str:
    """The address that paths are relative to: that of the first server, or host and base path of version 2."""
    data = document.data
    if "swagger" in data:
        own = urlsplit(address)
        schemes = [str(scheme) for scheme in _list(data.get("schemes"))]
        scheme = own.scheme if own.scheme in schemes or not schemes else schemes[0]
        return f"{scheme}://{data.get('host') or own.netloc}{data.get('basePath') or ''}"
    server = document.resolve(next(iter(_list(data.get("servers"))), {}))
    return urljoin(address, _fill_server(str(server.get("url", "/")), server))


def _fill_server(url: str, server: Mapping[str, Json]) -> str:
    variables = cast("Mapping[str, Mapping[str, Json]]", server.get("variables") or {})
    for name, about in variables.items():
        url = url.replace(f"{{{name}}}", str(about.get("default", "")))
    return url
