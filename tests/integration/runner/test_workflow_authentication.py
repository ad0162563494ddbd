"""Each authentication of the DSL, from a document to the request that a server on loopback gets."""

import asyncio
import base64
import hashlib
import json
import re
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

import httpx
import pytest

from stigmer_cli.runner.call.functions import make_functions
from stigmer_cli.secret_values import DELIVERED
from stigmer_cli.workflow.error import WorkflowError
from stigmer_cli.workflow.expression.evaluator import Evaluator
from stigmer_cli.workflow.json_value import Json
from stigmer_cli.workflow.runtime import Functions
from tests.support.fakes import ManualClock
from tests.support.http_service import Answer, Asked, Service, serve
from tests.support.workflows import MemoryWorld, run_text

REALM, NONCE = "pets", "n-1"
OK, MOVED = 200, {"Location": "/digest"}
CLIENT = {"id": "runtime", "secret": "s&cret of the client"}
OAUTH2 = {"grant": "client_credentials", "client": CLIENT}


class Authority:
    """Issues tokens `token-1`, `token-2` and so on; the service takes those that are in `valid`."""

    def __init__(self) -> None:
        self.issued = 0
        self.valid: set[str] = set()
        self.more: dict[str, Json] = {"expires_in": 300}
        self.answer: Answer | None = None
        self.takes_s = 0.0

    def respond(self, asked: Asked) -> Answer:
        match asked.path:
            case "/realm/.well-known/openid-configuration":
                return Answer(data={"token_endpoint": f"http://{asked.headers['host']}/realm/tokens"})
            case "/realm/oauth2/token" | "/realm/auth/token" | "/realm/tokens":
                return self._issue()
            case "/digest":
                return _check_digest(asked)
            case "/moved":
                return answer if (answer := _check_digest(asked)).status != OK else Answer(status=307, headers=MOVED)
            case _:
                shown = asked.headers.get("authorization", "")
                is_valid = not shown.startswith("Bearer token-") or shown.removeprefix("Bearer ") in self.valid
                return Answer(data={"authorization": shown}) if is_valid else Answer(status=401)

    def _issue(self) -> Answer:
        time.sleep(self.takes_s)
        if self.answer is not None:
            return self.answer
        self.issued += 1
        token = f"token-{self.issued}"
        self.valid.add(token)
        return Answer(data={"access_token": token, "token_type": "bearer", **self.more})


def _check_digest(asked: Asked) -> Answer:
    shown = asked.headers.get("authorization", "")
    if not shown.startswith("Digest "):
        challenge = f'Digest realm="{REALM}", nonce="{NONCE}", qop="auth", algorithm=SHA-256'
        return Answer(status=401, headers={"WWW-Authenticate": challenge})
    parts = {name: value.strip('"') for name, value in re.findall(r'(\w+)=("[^"]*"|[^, ]+)', shown)}
    first = _sha256(f"admin:{REALM}:password")
    second = _sha256(f"{asked.method}:{asked.path}")
    expected = _sha256(f"{first}:{NONCE}:{parts['nc']}:{parts['cnonce']}:auth:{second}")
    return Answer(data={"user": parts["username"]}) if parts["response"] == expected else Answer(status=403)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.fixture
def authority() -> Authority:
    return Authority()


@pytest.fixture
def service(authority: Authority) -> Iterator[Service]:
    with serve(authority.respond) as served:
        yield served


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def functions(clock: ManualClock) -> AsyncIterator[Functions]:
    async with httpx.AsyncClient(trust_env=False) as client:
        yield make_functions(client, clock)


class Caller:
    """Calls the service in a workflow, with a policy."""

    def __init__(self, evaluator: Evaluator, service: Service, functions: Functions) -> None:
        self.world = MemoryWorld()
        self._evaluator, self._service, self._functions = evaluator, service, functions

    async def call(
        self, policy: Mapping[str, Any], *, path: str = "/pets", more: str = "", given: Any = None, **facts: Any
    ) -> Any:
        self.world = MemoryWorld()
        policy = json.loads(json.dumps(policy).replace("AUTHORITY", f"{self._service.address}/realm"))
        place = {"uri": self._service.address + path, "authentication": policy}
        task = {"get": {"call": "http", "with": {"method": "get", "endpoint": place, **(given or {})}}}
        text = f"do: [{json.dumps(task)}]\n{more}"
        return await run_text(self._evaluator, text, {}, world=self.world, functions=self._functions, **facts)


@pytest.fixture
def caller(evaluator: Evaluator, service: Service, functions: Functions) -> Caller:
    return Caller(evaluator, service, functions)


async def test_basic_and_bearer_are_shown_from_the_document_and_from_secrets(caller: Caller) -> None:
    told = await caller.call({"basic": {"username": "ü", "password": "p:q"}})
    assert base64.b64decode(told["authorization"].removeprefix("Basic ")).decode() == "ü:p:q"
    secrets = {"mine": {"token": "of-the-secret"}}
    more = "use: {secrets: [mine], authentications: {known: {bearer: {use: mine}}}}"
    assert await caller.call({"use": "known"}, more=more, secrets=secrets) == {"authorization": "Bearer of-the-secret"}
    assert "of-the-secret" not in json.dumps(list(caller.world.journal.inputs.values()))


async def test_digest_answers_the_challenge_of_the_server(caller: Caller) -> None:
    policy = {"digest": {"username": "admin", "password": "password"}}
    assert await caller.call(policy, path="/digest") == {"user": "admin"}
    moved = await caller.call(policy, path="/moved", given={"method": "post", "redirect": True, "body": {"n": 1}})
    assert moved == {"user": "admin"}, "the answer is one for each address"
    with pytest.raises(WorkflowError, match="403"):
        await caller.call({"digest": {"username": "admin", "password": "wrong"}}, path="/digest")


async def test_a_token_is_asked_for_once_and_kept_until_it_expires(
    caller: Caller, service: Service, authority: Authority, clock: ManualClock
) -> None:
    policy = {"oauth2": {"authority": "AUTHORITY", **OAUTH2, "scopes": ["a", "b"], "audiences": ["pets"]}}
    authority.takes_s = 0.05
    async with asyncio.TaskGroup() as group:
        told = [group.create_task(caller.call(policy)) for _ in range(5)]
    assert {task.result()["authorization"] for task in told} == {"Bearer token-1"}
    asked = next(request for request in service.asked if request.path == "/realm/oauth2/token")
    assert asked.form == {
        "grant_type": "client_credentials",
        "client_id": "runtime",
        "client_secret": "s&cret of the client",
        "scope": "a b",
        "audience": "pets",
    }
    await clock.advance(269)
    assert (await caller.call(policy))["authorization"] == "Bearer token-1"
    await clock.advance(2)
    assert (await caller.call(policy))["authorization"] == "Bearer token-2"
    assert "token-2" not in DELIVERED.redact("token-2"), "logs and reports do not tell it"


async def test_a_token_that_the_service_refuses_is_replaced_once(
    caller: Caller, authority: Authority, service: Service, clock: ManualClock
) -> None:
    policy = {"oauth2": {"authority": "AUTHORITY", **OAUTH2, "endpoints": {"token": "/auth/token"}}}
    await caller.call(policy)
    authority.valid.clear()
    await clock.advance(20)
    assert (await caller.call(policy))["authorization"] == "Bearer token-2"
    authority.valid = set()
    await clock.advance(20)
    authority.answer = Answer(data={"access_token": "token-revoked", "expires_in": 300})
    with pytest.raises(WorkflowError, match="401 Unauthorized") as caught:
        await caller.call(policy)
    assert caught.value.fields["status"] == 401
    assert service.list_paths()[-3:] == ["GET /pets", "POST /realm/auth/token", "GET /pets"]
    with pytest.raises(WorkflowError, match="401 Unauthorized"):
        await caller.call(policy)
    assert service.list_paths()[-2:] == ["GET /pets", "GET /pets"], "a new token would be refused, too"


async def test_a_refresh_token_is_used_and_the_grant_where_it_is_not_taken(
    caller: Caller, service: Service, authority: Authority, clock: ManualClock
) -> None:
    authority.more = {"expires_in": 60, "refresh_token": "refresh-1"}
    policy = {"oauth2": {"authority": "AUTHORITY", "grant": "password", "username": "u", "password": "p"}}
    await caller.call(policy)
    await clock.advance(60)
    assert (await caller.call(policy))["authorization"] == "Bearer token-2"
    grants = [request.form for request in service.asked if request.method == "POST"]
    assert grants == [
        {"grant_type": "password", "username": "u", "password": "p"},
        {"grant_type": "refresh_token", "refresh_token": "refresh-1"},
    ]
    given = {**policy["oauth2"], "grant": "refresh_token", "subject": {"token": "own-refresh", "type": "refresh_token"}}
    await caller.call({"oauth2": given})
    assert service.asked[-2].form == {"grant_type": "refresh_token", "refresh_token": "own-refresh"}


@pytest.mark.parametrize("suffix", ["", "/", "/.well-known/openid-configuration"])
async def test_openid_connect_finds_the_endpoint_of_its_authority(
    suffix: str, caller: Caller, service: Service
) -> None:
    policy = {"oidc": {"authority": f"AUTHORITY{suffix}", **OAUTH2}}
    assert (await caller.call(policy))["authorization"] == "Bearer token-1"
    wanted = ["GET /realm/.well-known/openid-configuration", "POST /realm/tokens", "GET /pets"]
    assert service.list_paths() == wanted


async def test_a_client_is_authenticated_in_each_way_of_the_specification(caller: Caller, service: Service) -> None:
    async def ask(client: Mapping[str, str], **more: Any) -> Asked:
        await caller.call({"oauth2": {"authority": "AUTHORITY", **OAUTH2, "client": client, **more}})
        return service.asked[-2]

    asked = await ask({**CLIENT, "authentication": "client_secret_basic"})
    shown = base64.b64decode(asked.headers["authorization"].removeprefix("Basic ")).decode()
    assert (shown, asked.form) == ("runtime:s%26cret+of+the+client", {"grant_type": "client_credentials"})
    asked = await ask({"id": "public", "authentication": "none"})
    assert asked.form == {"grant_type": "client_credentials", "client_id": "public"}
    asked = await ask({"id": "a", "authentication": "private_key_jwt", "assertion": "x.y.z"})
    assert asked.form["client_assertion"] == "x.y.z"
    asked = await ask({**CLIENT, "authentication": "client_secret_jwt"})
    _, claims, _ = asked.form["client_assertion"].split(".")
    told = json.loads(base64.urlsafe_b64decode(claims + "=="))
    assert (told["sub"], told["aud"]) == ("runtime", f"{service.address}/realm/oauth2/token")
    asked = await ask(CLIENT, request={"encoding": "application/json"})
    assert asked.json["client_secret"] == CLIENT["secret"]
    subject = {"token": "of-a-person", "type": "access_token"}
    asked = await ask(CLIENT, grant="urn:ietf:params:oauth:grant-type:token-exchange", subject=subject)
    assert asked.form["subject_token_type"] == "urn:ietf:params:oauth:token-type:access_token"


@pytest.mark.parametrize(
    ("answer", "more", "kind", "words"),
    [
        (
            Answer(status=400, data={"error": "invalid_client", "error_description": "s&cret of the client is wrong"}),
            {},
            "authentication",
            r"400 Bad Request: invalid_client: \[redacted\] is wrong",
        ),
        (Answer(status=503), {}, "communication", "503 Service Unavailable"),
        (Answer(data={"token": "x"}), {}, "authentication", "the answer has no access_token"),
        (Answer(data=[1]), {}, "authentication", "the answer is no JSON object"),
        (Answer(data={"access_token": "a.eyJpc3MiOiAieCJ9.c"}), {"issuers": ["y"]}, "authentication", "issued by x"),
        (Answer(), {"grant": "authorization_code"}, "configuration", "needs a person at a browser"),
        (Answer(), {"authority": "http://127.0.0.1:1"}, "communication", "POST http://127.0.0.1:1/oauth2/token: "),
        (Answer(), {"authority": "nonsense"}, "configuration", "no address of http or https"),
    ],
)
async def test_an_authority_that_gives_no_token_is_an_error_of_its_kind(
    answer: Answer,
    more: dict[str, Json],
    kind: str,
    words: str,
    caller: Caller,
    authority: Authority,
) -> None:
    authority.answer = answer
    with pytest.raises(WorkflowError, match=words) as caught:
        await caller.call({"oauth2": {"authority": "AUTHORITY", **OAUTH2, **more}})
    assert str(caught.value.fields["type"]).endswith(f"/{kind}")


async def test_calls_that_waited_for_the_same_token_fail_with_it(
    caller: Caller, service: Service, authority: Authority
) -> None:
    authority.answer, authority.takes_s = Answer(status=503), 0.2
    policy = {"oauth2": {"authority": "AUTHORITY", **OAUTH2}}
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_fail(caller, policy)) for _ in range(10)]
    assert all("503" in task.result() for task in tasks)
    assert len(service.asked) < 10


async def _fail(caller: Caller, policy: Mapping[str, Any]) -> str:
    with pytest.raises(WorkflowError) as caught:
        await caller.call(policy)
    return str(caught.value)
