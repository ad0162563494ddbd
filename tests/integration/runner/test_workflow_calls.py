"""`call: http` and `call: openapi` against a server on loopback."""

import json
from collections.abc import AsyncIterator, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from stigmer_cli.domain.step import Effect
from stigmer_cli.runner.call.functions import make_functions
from stigmer_cli.runner.call.http import CONTENT_BYTES_MAX, make_http_client
from stigmer_cli.secret_values import DELIVERED
from stigmer_cli.workflow.authentication import Policy
from stigmer_cli.workflow.error import WorkflowError
from stigmer_cli.workflow.expression.evaluator import Evaluator
from stigmer_cli.workflow.json_value import Json
from stigmer_cli.workflow.runtime import CallRequest
from tests.support.workflows import run_text

OPENAPI = {
    "openapi": "3.1.0",
    "servers": [{"url": "/{stage}/api", "variables": {"stage": {"default": "v3"}}}],
    "paths": {
        "/pets/{petId}": {
            "parameters": [{"$ref": "#/components/parameters/petId"}],
            "put": {
                "operationId": "putPet",
                "parameters": [
                    {"name": "tag", "in": "query"},
                    {"name": "X-Trace", "in": "header"},
                    {"name": "session", "in": "cookie"},
                ],
                "requestBody": {"content": {"application/json": {}}},
            },
            "get": {"operationId": "getPet"},
            "patch": {
                "operationId": "patchPet",
                "parameters": [{"name": "petId", "in": "query"}, {"name": "petId", "in": "header"}],
                "requestBody": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Pet"}}}},
            },
            "post": {
                "operationId": "renamePet",
                "requestBody": {"content": {"application/json": {"schema": {"type": "string"}}}},
            },
        }
    },
    "components": {
        "parameters": {"petId": {"name": "petId", "in": "path", "required": True}},
        "schemas": {"Pet": {"properties": {"petId": {}, "name": {}}}},
    },
}

SWAGGER = {
    "swagger": "2.0",
    "basePath": "/v2",
    "consumes": ["application/json"],
    "produces": ["application/xml", "application/json"],
    "paths": {
        "/pets": {
            "post": {
                "operationId": "addPet",
                "parameters": [{"name": "pet", "in": "body", "required": True}, {"name": "dry", "in": "query"}],
            },
            "put": {
                "operationId": "namePet",
                "parameters": [{"name": "name", "in": "body", "schema": {"type": "string"}}],
            },
            "get": {
                "operationId": "findPets",
                "parameters": [
                    {"name": "tags", "in": "query", "type": "array"},
                    {"name": "status", "in": "query", "type": "array", "collectionFormat": "multi"},
                ],
            },
        },
        "/pets/{petId}/image": {
            "post": {
                "operationId": "addImage",
                "consumes": ["multipart/form-data"],
                "parameters": [
                    {"name": "petId", "in": "path", "required": True},
                    {"name": "note", "in": "formData"},
                ],
            },
        },
    },
}
ADD_PET = {"method": "post", "endpoint": "/v2/pets", "body": {"name": "Milou"}}
SENT_JSON = {"Content-Type": "application/json", "Accept": "application/json"}

JSON = "application/json"
ANSWERS: dict[str, tuple[int, str, bytes]] = {
    "/text": (200, "text/plain; charset=iso-8859-1", "grüße".encode("iso-8859-1")),
    "/binary": (200, "application/octet-stream", b"\x00\xff"),
    "/broken": (200, JSON, b"{"),
    "/overflow": (200, JSON, b'{"n": 1e400}'),
    "/legacy": (200, "text/json; charset=utf-8", b'{"n": 1}'),
    "/latin": (200, f"{JSON}; charset=iso-8859-1", '"grüße"'.encode("iso-8859-1")),
    "/misnamed": (200, f"{JSON}; charset=iso-8859-1", '"grüße"'.encode()),
    "/undecided": (200, f"{JSON}; charset=nobody-knows", b'"\xff"'),
    "/large": (200, JSON, b" " * (CONTENT_BYTES_MAX + 1)),
    "/away": (302, JSON, b""),
    "/gone": (410, JSON, b'{"why": "sold"}'),
    "/empty": (204, JSON, b""),
    "/unknown-charset": (200, "text/plain; charset=utf8mb4", "grüße".encode()),
    "/unknown-bytes": (200, "text/plain; charset=utf8mb4", b"\xff"),
    "/elsewhere": (302, JSON, b""),
    "/moved.json": (302, JSON, b""),
    "/denied": (302, JSON, b""),
    "/passed-on": (307, JSON, b""),
    "/there-and-back": (302, JSON, b""),
    "/back": (302, JSON, b""),
    "/with-user": (302, JSON, b""),
    "/to-file": (302, JSON, b""),
    "/round": (302, JSON, b""),
    "/swagger.json": (200, JSON, json.dumps(SWAGGER).encode()),
    "/openapi.json": (200, JSON, json.dumps(OPENAPI).encode()),
}

MOVED = {
    "/elsewhere": "http://localhost:PORT/echo",
    "/moved.json": "http://localhost:PORT/openapi.json",
    "/denied": "http://localhost:PORT/gone",
    "/passed-on": "http://localhost:PORT/echo",
    "/with-user": "http://a:b@localhost:PORT/echo",
    "/to-file": "file:///etc/hosts",
    "/round": "/round",
    "/there-and-back": "http://localhost:PORT/back",
    "/back": "http://127.0.0.1:PORT/echo",
}
COOKIES = {"/empty": ("a=1; Expires=Fri, 27 Nov 2026 04:00:00 GMT", "b=2")}


class _Handler(BaseHTTPRequestHandler):
    def _respond(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        target = urlsplit(self.path)
        told = {
            "method": self.command,
            "path": target.path,
            "query": parse_qs(target.query),
            "asked": target.query,
            "headers": {key.lower(): value for key, value in self.headers.items()},
            "body": body,
        }
        status, kind, content = ANSWERS.get(target.path, (200, JSON, json.dumps(told).encode()))
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        for cookie in COOKIES.get(target.path, ()):
            self.send_header("Set-Cookie", cookie)
        if status in (302, 307):
            port = self.headers["Host"].rpartition(":")[2]
            self.send_header("Location", MOVED.get(target.path, "/echo").replace("PORT", port))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = do_DELETE = _respond  # noqa: N815 - as the library calls them

    def log_message(self, *_arguments: object) -> None:
        """Nothing."""


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with make_http_client() as made:
        yield made


async def _call(client: httpx.AsyncClient, policy: Policy | None = None, **arguments: Json) -> Any:
    given = {"method": "get", **arguments}
    request = CallRequest(function="http", arguments=given, policy=policy, idempotency_key="key-1")
    return await make_functions(client).calls["http"].perform(request)


async def _translate(client: httpx.AsyncClient, **arguments: Json) -> tuple[str, Mapping[str, Json]]:
    request = CallRequest(function="openapi", arguments=arguments, idempotency_key="key-1")
    return await make_functions(client).translations["openapi"].translate(request)


async def test_a_request_has_its_parts_and_a_key(client: httpx.AsyncClient, address: str) -> None:
    told = await _call(
        client,
        Policy(scheme="bearer", properties={"token": "t"}),
        method="post",
        endpoint=f"{address}/echo?a=1",
        query={"b": "x y", "c": ["1", "2"], "n": 3},
        headers={"X-One": "1"},
        body={"pet": "Milou"},
    )
    assert (told["method"], told["path"], told["body"]) == ("POST", "/echo", '{"pet":"Milou"}')
    assert told["query"] == {"a": ["1"], "b": ["x y"], "c": ["1", "2"], "n": ["3"]}
    wanted = {"x-one": "1", "authorization": "Bearer t", "content-type": "application/json", "idempotency-key": "key-1"}
    assert {key: told["headers"][key] for key in wanted} == wanted


async def test_the_query_of_an_address_is_sent_as_it_is_written(client: httpx.AsyncClient, address: str) -> None:
    told = await _call(client, endpoint=f"{address}/echo?ids=1,2&at=a%20b&page=1", query={"page": 2, "q": "x,y z"})
    assert told["asked"] == "ids=1,2&at=a%20b&page=2&q=x%2Cy+z"
    told = await _call(client, endpoint=f"{address}/echo?ids=1,2", query={"none": []})
    assert told["asked"] == "ids=1,2"


async def test_a_body_is_sent_as_its_kind_asks(client: httpx.AsyncClient, address: str) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    echo = f"{address}/echo"
    told = await _call(client, method="post", endpoint=echo, body={"a": "x y", "b": [1, 2]}, headers=form)
    assert told["body"] == "a=x+y&b=1&b=2"
    told = await _call(client, method="post", endpoint=echo, body="plain ü", headers={"Idempotency-Key": "own"})
    assert (told["headers"]["content-type"], told["headers"]["idempotency-key"]) == ("text/plain; charset=utf-8", "own")
    told = await _call(client, method="put", endpoint=f"{address}/away", redirect=True, headers={"X-Region": "Île"})
    assert told["headers"]["x-region"].encode("iso-8859-1").decode() == "Île"
    told = await _call(client, method="post", endpoint=echo, body=[1])
    assert told["body"] == "[1]"


async def test_what_is_null_is_left_out_where_there_is_no_null(client: httpx.AsyncClient, address: str) -> None:
    echo = f"{address}/echo"
    told = await _call(client, endpoint=echo, query={"a": None, "b": ["1", None]}, headers={"X-One": None})
    assert told["query"] == {"b": ["1"]}
    assert "x-one" not in told["headers"]
    for kind in ("application/x-www-form-urlencoded", "multipart/form-data"):
        form = {"Content-Type": kind}
        told = await _call(client, method="post", endpoint=echo, body={"a": None, "b": "x"}, headers=form)
        assert "null" not in told["body"]
    assert (await _call(client, method="post", endpoint=echo, body={"a": None}))["body"] == '{"a":null}'


async def test_a_response_is_given_in_the_form_that_is_asked_for(client: httpx.AsyncClient, address: str) -> None:
    for path in ("text", "unknown-charset"):
        assert await _call(client, endpoint=f"{address}/{path}") == "grüße", path
    assert await _call(client, endpoint=f"{address}/unknown-bytes") == "/w=="
    assert await _call(client, endpoint=f"{address}/binary") == "AP8="
    assert await _call(client, endpoint=f"{address}/empty") is None
    assert await _call(client, endpoint=f"{address}/legacy") == {"n": 1}
    for path in ("latin", "misnamed"):
        assert await _call(client, endpoint=f"{address}/{path}") == "grüße", path
    assert await _call(client, endpoint=f"{address}/openapi.json", output="raw") == _base64(json.dumps(OPENAPI))
    whole = await _call(
        client,
        Policy(scheme="bearer", properties={"token": "t"}),
        endpoint=f"{address.replace('//', '//user:password@')}/echo",
        output="response",
    )
    assert sorted(whole) == ["content", "headers", "request", "statusCode"]
    assert (whole["statusCode"], whole["request"]["method"]) == (200, "GET")
    assert whole["request"]["uri"] == f"{address}/echo"
    assert "authorization" not in whole["request"]["headers"], "the journal keeps no secret"


async def test_each_cookie_of_a_response_is_a_line(client: httpx.AsyncClient, address: str) -> None:
    told = await _call(client, endpoint=f"{address}/empty", output="response")
    assert told["headers"]["set-cookie"].split("\n") == list(COOKIES["/empty"])


def _base64(text: str) -> str:
    import base64  # noqa: PLC0415

    return base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("/gone", 410, '410 Gone: {"why": "sold"}'),
        ("/away", 302, "302 Found"),
        ("/broken", 500, "answered with no JSON"),
        ("/undecided", 500, "answered with no JSON"),
        ("/overflow", 500, "answered with no JSON: the number 1e400 is too large"),
        ("/large", 500, "longer than 6,291,456 bytes"),
    ],
)
async def test_what_is_no_success_is_a_communication_error(
    path: str, status: int, words: str, client: httpx.AsyncClient, address: str
) -> None:
    with pytest.raises(WorkflowError) as caught:
        await _call(client, endpoint=f"{address}{path}")
    fields = caught.value.fields
    assert fields["type"] == "https://open-workflow-specification.org/spec/1.0.0/errors/communication"
    assert fields["status"] == status
    assert words in str(fields["detail"])


async def test_a_redirect_is_followed_where_the_task_allows_it(client: httpx.AsyncClient, address: str) -> None:
    assert (await _call(client, endpoint=f"{address}/away", redirect=True))["path"] == "/echo"


async def test_what_authenticates_is_not_sent_to_another_host(client: httpx.AsyncClient, address: str) -> None:
    shown = Policy(scheme="basic", properties={"username": "a", "password": "b"})
    told = await _call(client, shown, endpoint=f"{address}/away", redirect=True)
    assert "authorization" in told["headers"]
    told = await _call(client, shown, endpoint=f"{address}/elsewhere", redirect=True)
    assert "authorization" not in told["headers"]


OWN: Json = {"X-Team": "k", "Cookie": "a=b", "Accept": "text/csv", "If-Match": "7"}


async def test_a_redirect_takes_headers_along_within_an_origin_only(client: httpx.AsyncClient, address: str) -> None:
    told = await _call(client, endpoint=f"{address}/away", redirect=True, headers=OWN)
    assert (told["headers"]["x-team"], told["headers"]["cookie"]) == ("k", "a=b")
    for path in ("elsewhere", "with-user"):
        told = await _call(client, endpoint=f"{address}/{path}", redirect=True, headers=OWN)
        assert not told["headers"].keys() & {"x-team", "cookie", "authorization"}
        assert (told["headers"]["accept"], told["headers"]["if-match"]) == ("text/csv", "7")
        assert told["headers"]["idempotency-key"] == "key-1"


async def test_what_leads_back_from_another_origin_is_shown_nothing(client: httpx.AsyncClient, address: str) -> None:
    shown = Policy(scheme="bearer", properties={"token": "t"})
    told = await _call(client, shown, endpoint=f"{address}/there-and-back", redirect=True, headers=OWN)
    assert told["headers"]["host"] == address.removeprefix("http://")
    assert not told["headers"].keys() & {"x-team", "cookie", "authorization"}


async def test_a_redirect_makes_a_get_of_a_post_and_of_nothing_else(client: httpx.AsyncClient, address: str) -> None:
    asked: dict[str, Any] = {"endpoint": f"{address}/away", "redirect": True}
    told = await _call(client, method="delete", **asked)
    assert told["method"] == "DELETE"
    told = await _call(client, method="put", body={"n": 1}, **asked)
    assert (told["method"], told["body"]) == ("PUT", '{"n":1}')
    told = await _call(client, method="post", body={"n": 1}, **asked)
    assert (told["method"], told["body"]) == ("GET", "")


async def test_no_secret_goes_to_another_origin_in_a_body_or_a_usual_header(
    client: httpx.AsyncClient, address: str
) -> None:
    DELIVERED.remember("canary-on-its-way")
    moved = f"{address}/passed-on"
    told = await _call(client, method="post", endpoint=moved, redirect=True, body={"n": 1})
    assert (told["method"], told["body"]) == ("POST", '{"n":1}')
    told = await _call(client, endpoint=moved, redirect=True, headers={"Prefer": "canary-on-its-way"})
    assert "prefer" not in told["headers"]
    with pytest.raises(WorkflowError) as caught:
        await _call(client, method="post", endpoint=moved, redirect=True, body={"key": "canary-on-its-way"})
    elsewhere = address.replace("127.0.0.1", "localhost")
    assert caught.value.fields["detail"] == (
        f"POST {moved}: it redirects to {elsewhere}, and a body with a secret is not sent to another origin"
    )


async def test_who_refuses_behind_a_redirect_is_named_and_what_it_was_not_shown(
    client: httpx.AsyncClient, address: str
) -> None:
    with pytest.raises(WorkflowError) as caught:
        await _call(client, endpoint=f"{address}/denied", redirect=True, headers=OWN)
    elsewhere = address.replace("127.0.0.1", "localhost")
    assert caught.value.fields["detail"] == (
        f'GET {address}/denied: 410 Gone: {{"why": "sold"}}: it was redirected to {elsewhere}, another origin, which is'
        " not shown x-team, cookie"
    )


@pytest.mark.parametrize(("path", "words"), [("to-file", "file:"), ("round", "there are more than 20 redirects")])
async def test_a_redirect_that_leads_nowhere_is_a_communication_error(
    path: str, words: str, client: httpx.AsyncClient, address: str
) -> None:
    with pytest.raises(WorkflowError, match=words) as caught:
        await _call(client, endpoint=f"{address}/{path}", redirect=True)
    assert str(caught.value.fields["type"]).endswith("/communication")


async def test_a_variable_of_an_address_may_stand_beside_an_expression(
    client: httpx.AsyncClient, address: str, evaluator: Evaluator
) -> None:
    given: dict[str, Json] = {"base": address, "id": "a/b", "whole": f"{address}/{{id}}"}
    for endpoint, path in (("${ .base }/pets/{id}", "/pets/a%2Fb"), ("${ .whole }", "/%7Bid%7D")):
        text = f"do: [{{ask: {{call: http, with: {{method: get, endpoint: '{endpoint}'}}}}}}]"
        told: Any = await run_text(evaluator, text, given, functions=make_functions(client))
        assert told["path"] == path


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:1/", "nonsense", "http://", "ftp://127.0.0.1/"])
async def test_a_server_that_is_not_there_is_a_communication_error(endpoint: str, client: httpx.AsyncClient) -> None:
    with pytest.raises(WorkflowError) as caught:
        await _call(client, endpoint=endpoint)
    assert str(caught.value.fields["detail"]).startswith(f"GET {endpoint}: ")


def test_the_method_says_what_calling_twice_does(client: httpx.AsyncClient) -> None:
    call = make_functions(client).calls["http"]
    effects = {
        method: call.find_effect({"method": method}) for method in ("get", "HEAD", "put", "delete", "post", "patch")
    }
    assert [method for method, effect in effects.items() if effect is Effect.ONCE] == ["post", "patch"]


async def test_an_operation_becomes_the_request_that_its_document_describes(
    client: httpx.AsyncClient, address: str
) -> None:
    given: dict[str, Json] = {"petId": "a/b", "tag": "x", "X-Trace": "t", "session": "s", "name": "Milou"}
    document = f"{address}/openapi.json"
    told = await _translate(client, document=document, operationId="putPet", parameters=given, output="content")
    assert told == (
        "http",
        {
            "method": "put",
            "endpoint": f"{address}/v3/api/pets/a%2Fb",
            "query": {"tag": "x"},
            "headers": {"X-Trace": "t", "Cookie": "session=s", "Content-Type": "application/json"},
            "body": {"name": "Milou"},
            "output": "content",
        },
    )


async def test_a_relative_address_in_a_document_begins_where_that_was_found(
    client: httpx.AsyncClient, address: str
) -> None:
    found = await _translate(client, document=f"{address}/moved.json", operationId="getPet", parameters={"petId": 7})
    assert found[1]["endpoint"] == f"{address.replace('127.0.0.1', 'localhost')}/v3/api/pets/7"


async def test_a_value_stands_wherever_the_document_has_its_name(client: httpx.AsyncClient, address: str) -> None:
    given: dict[str, Json] = {"petId": 7, "name": "Milou"}
    document = f"{address}/openapi.json"
    _, told = await _translate(client, document=document, operationId="patchPet", parameters=given)
    assert told == {
        "method": "patch",
        "endpoint": f"{address}/v3/api/pets/7",
        "query": {"petId": "7"},
        "headers": {"petId": "7", "Content-Type": "application/json"},
        "body": {"petId": 7, "name": "Milou"},
    }


async def test_a_text_that_is_a_body_of_json_is_sent_as_json(client: httpx.AsyncClient, address: str) -> None:
    document = f"{address}/openapi.json"
    for name in ("Milou", "true"):
        given: dict[str, Json] = {"petId": 7, "body": name}
        told: Any = await _translate(client, document=document, operationId="renamePet", parameters=given)
        assert json.loads((await _call(client, **told[1]))["body"]) == name


@pytest.mark.parametrize(
    ("operation", "parameters", "request_of_it"),
    [
        ("addPet", {"pet": {"name": "Milou"}}, {**ADD_PET, "headers": SENT_JSON}),
        ("addPet", {"name": "Milou", "dry": True}, {**ADD_PET, "headers": SENT_JSON, "query": {"dry": "true"}}),
        ("namePet", {"name": "Rex"}, {**ADD_PET, "method": "put", "body": '"Rex"', "headers": SENT_JSON}),
        (
            "findPets",
            {"tags": ["a,b", "c"], "status": ["new", "sold"]},
            {
                "method": "get",
                "endpoint": "/v2/pets?tags=a%2Cb,c",
                "query": {"status": ["new", "sold"]},
                "headers": {"Accept": "application/json"},
            },
        ),
        (
            "addImage",
            {"petId": 7, "note": "x"},
            {
                "method": "post",
                "endpoint": "/v2/pets/7/image",
                "body": {"note": "x"},
                "headers": {"Content-Type": "multipart/form-data", "Accept": "application/json"},
            },
        ),
    ],
)
async def test_an_operation_of_version_2_is_written_as_that_version_says(
    operation: str,
    parameters: dict[str, Json],
    request_of_it: dict[str, Any],
    client: httpx.AsyncClient,
    address: str,
) -> None:
    document = f"{address}/swagger.json"
    _, found = await _translate(client, document=document, operationId=operation, parameters=parameters)
    assert found == {**request_of_it, "endpoint": address + request_of_it["endpoint"]}


async def test_a_form_of_parts_is_sent_as_one(client: httpx.AsyncClient, address: str) -> None:
    headers: Json = {"Content-Type": "multipart/form-data"}
    told = await _call(client, method="post", endpoint=f"{address}/echo", body={"note": "x"}, headers=headers)
    assert told["headers"]["content-type"].startswith("multipart/form-data; boundary=")
    assert 'Content-Disposition: form-data; name="note"' in told["body"]


@pytest.mark.parametrize(
    ("document", "operation", "parameters", "words"),
    [
        ("/openapi.json", "getPet", {"petId": ".."}, "petId is '..', which leads to another path"),
        ("/openapi.json", "getCat", {}, "has no operation getCat; it has getPet, putPet, renamePet, patchPet"),
        ("/openapi.json", "getPet", {}, "the parameter petId of the operation is missing"),
        ("/openapi.json", "getPet", {"petId": None}, "the parameter petId of the operation is missing"),
        ("/openapi.json", "getPet", {"petId": 1, "x": 1}, "the operation has no parameter x"),
        ("/text", "getPet", {}, "is no OpenAPI document"),
        ("/gone", "getPet", {}, "410 Gone"),
    ],
)
async def test_an_operation_that_cannot_be_called_is_said(
    document: str,
    operation: str,
    parameters: dict[str, Json],
    words: str,
    client: httpx.AsyncClient,
    address: str,
) -> None:
    with pytest.raises(WorkflowError, match=words):
        await _translate(client, document=f"{address}{document}", operationId=operation, parameters=parameters)


def test_the_functions_have_the_names_of_the_specification(client: httpx.AsyncClient) -> None:
    functions = make_functions(client)
    assert "http" in functions
    assert "openapi" in functions
    assert "grpc" in functions
    assert "soap" not in functions
