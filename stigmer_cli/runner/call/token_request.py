"""The request for an access token, by each grant and each way to authenticate a client (RFC 6749, 7523, 8693)."""

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import cast
from urllib.parse import quote_plus
from uuid import uuid4

import httpx

from stigmer_cli.secret_values import SecretValues
from stigmer_cli.workflow.error import ErrorType, make_error
from stigmer_cli.workflow.json_value import Json

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
TOKEN_TYPE = "urn:ietf:params:oauth:token-type:"  # noqa: S105 - the beginning of a name
ASSERTION_S = 300


@dataclass(frozen=True, kw_only=True)
class Grant:
    """What is asked for: `properties` are those of the policy, `now_s` is seconds since 1970."""

    address: str
    properties: Mapping[str, Json] = field(repr=False)
    now_s: float

    def read(self, name: str, why: str) -> str:
        """A property that the grant needs. Raises WorkflowError where it is missing."""
        value = self.properties.get(name)
        if not isinstance(value, str):
            raise make_error(ErrorType.CONFIGURATION, f"the authentication needs {name}: {why}")
        return value

    def read_mapping(self, name: str) -> Mapping[str, Json]:
        """A property that is a mapping; an empty one where it is missing."""
        value = self.properties.get(name)
        return value if isinstance(value, Mapping) else {}

    def list_texts(self, name: str) -> list[str]:
        """A property that is a list of texts."""
        value = self.properties.get(name)
        return [str(item) for item in value] if isinstance(value, list) else []


def build_token_request(grant: Grant, refresh: str | None, shown: SecretValues) -> httpx.Request:
    """The request; with `refresh` it renews. What of it is secret is remembered in `shown`. Raises WorkflowError."""
    parameters = _refresh(refresh) if refresh is not None else _list_parameters(grant)
    if scopes := grant.list_texts("scopes"):
        parameters["scope"] = " ".join(scopes)
    if audiences := grant.list_texts("audiences"):
        parameters["audience"] = audiences if len(audiences) > 1 else audiences[0]
    own, headers = _authenticate_client(grant)
    parameters |= own
    for name, value in parameters.items():
        if name in SECRET and isinstance(value, str):
            shown.remember(value)
    headers["Accept"] = "application/json"
    encoding = grant.read_mapping("request").get("encoding")
    if encoding == "application/json":
        return httpx.Request("POST", grant.address, headers=headers, json=parameters)
    return httpx.Request("POST", grant.address, headers=headers, data=parameters)


SECRET = frozenset({"client_secret", "client_assertion", "password", "refresh_token", "subject_token", "actor_token"})
Parameters = dict[str, str | list[str]]


def _refresh(token: str) -> Parameters:
    return {"grant_type": "refresh_token", "refresh_token": token}


def _list_parameters(grant: Grant) -> Parameters:
    match kind := str(grant.properties.get("grant")):
        case "client_credentials":
            return {"grant_type": kind}
        case "password":
            why = "the grant is password"
            return {
                "grant_type": kind,
                "username": grant.read("username", why),
                "password": grant.read("password", why),
            }
        case "refresh_token":
            token = grant.read_mapping("subject").get("token")
            if not isinstance(token, str):
                raise make_error(ErrorType.CONFIGURATION, "the grant refresh_token needs the token in subject.token")
            return _refresh(token)
        case "urn:ietf:params:oauth:grant-type:token-exchange":
            return {"grant_type": kind, **_describe_token(grant, "subject"), **_describe_token(grant, "actor")}
        case _:
            why = "needs a person at a browser" if kind == "authorization_code" else "is none of the DSL"
            raise make_error(ErrorType.CONFIGURATION, f"the grant {kind} {why}, and cannot be used by a workflow")


def _describe_token(grant: Grant, name: str) -> Parameters:
    """The parameters of RFC 8693 for the token of the party `name`, which only `subject` has to have."""
    given = grant.read_mapping(name)
    if not given and name != "subject":
        return {}
    token, kind = given.get("token"), given.get("type")
    if not isinstance(token, str) or not isinstance(kind, str):
        raise make_error(ErrorType.CONFIGURATION, f"the exchange of tokens needs {name}.token and {name}.type")
    return {f"{name}_token": token, f"{name}_token_type": kind if ":" in kind else TOKEN_TYPE + kind}


def _authenticate_client(grant: Grant) -> tuple[Parameters, dict[str, str]]:
    """The parameters and the headers that show who asks."""
    client = grant.read_mapping("client")
    name, secret = str(client.get("id") or ""), str(client.get("secret") or "")
    own: Parameters = {"client_id": name} if name else {}
    match str(client.get("authentication") or "client_secret_post"):
        case "none":
            return own, {}
        case "client_secret_basic":
            pair = base64.b64encode(f"{quote_plus(name)}:{quote_plus(secret)}".encode()).decode()
            return {}, {"Authorization": f"Basic {pair}"}
        case "client_secret_jwt":
            return own | _assert(_sign(grant, name, secret)), {}
        case "private_key_jwt":
            assertion = client.get("assertion")
            if not isinstance(assertion, str):
                raise make_error(ErrorType.CONFIGURATION, "private_key_jwt needs client.assertion")
            return own | _assert(assertion), {}
        case _:
            return own | ({"client_secret": secret} if secret else {}), {}


def _assert(assertion: str) -> Parameters:
    return {"client_assertion_type": ASSERTION_TYPE, "client_assertion": assertion}


def _sign(grant: Grant, name: str, secret: str) -> str:
    """A JWT that says who asks, signed with the secret (HS256)."""
    now_s = int(grant.now_s)
    claims = {"iss": name, "sub": name, "aud": grant.address, "jti": uuid4().hex}
    claims = cast("dict[str, str]", claims | {"iat": now_s, "exp": now_s + ASSERTION_S})
    head = ".".join(_encode(json.dumps(part).encode()) for part in ({"alg": "HS256", "typ": "JWT"}, claims))
    return f"{head}.{_encode(hmac.new(secret.encode(), head.encode(), hashlib.sha256).digest())}"


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
