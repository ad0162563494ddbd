"""Authentication policies: what a call shows to a service, as the document and its secrets say."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import cast

from stigmer_cli.workflow.error import ErrorType, make_error
from stigmer_cli.workflow.json_value import Json

SCHEMES = ("basic", "bearer", "digest", "oauth2", "oidc")


@dataclass(frozen=True, kw_only=True)
class Policy:
    """A scheme of the DSL, and its properties, with every expression evaluated. They are secret."""

    scheme: str
    properties: Mapping[str, Json] = field(repr=False)

    @property
    def pair(self) -> str:
        """`username:password` in Base64."""
        pair = f"{self.properties.get('username', '')}:{self.properties.get('password', '')}"
        return base64.b64encode(pair.encode()).decode()

    def describe(self) -> Json:
        """`$authorization`. Tokens that a server issues are no part of it: what expressions see is recorded."""
        match self.scheme:
            case "basic":
                return {"scheme": "Basic", "parameter": self.pair}
            case "bearer":
                return {"scheme": "Bearer", "parameter": self.properties.get("token", "")}
            case "digest":
                return {"scheme": "Digest", "parameter": None}
            case _:
                return {"scheme": "Bearer", "parameter": None}


def find_policy(policy: Json, secrets: Mapping[str, Json]) -> Policy | None:
    """What `policy` of the document stands for; its expressions were evaluated. None without a policy.

    Raises WorkflowError where it names a secret that is missing, or that holds no properties.
    """
    if policy is None:
        return None
    named = {key: value for key, value in cast("Mapping[str, Json]", policy).items() if key in SCHEMES}
    if len(named) != 1:
        raise make_error(ErrorType.CONFIGURATION, f"an authentication is one of {', '.join(SCHEMES)}")
    [(scheme, properties)] = named.items()
    if not isinstance(properties, Mapping):
        raise make_error(ErrorType.CONFIGURATION, f"the authentication {scheme} has no properties")
    return Policy(scheme=scheme, properties=_find_properties(properties, secrets))


def _find_properties(properties: Mapping[str, Json], secrets: Mapping[str, Json]) -> Mapping[str, Json]:
    """The properties of a policy, or of the secret that it names."""
    name = properties.get("use")
    if name is None:
        return properties
    secret = secrets.get(str(name))
    if not isinstance(secret, Mapping):
        raise make_error(ErrorType.AUTHORIZATION, f"there is no secret {name} with the properties of an authentication")
    return secret
