"""Authentication policies: what a call shows, by the policy of the document."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from stigmer_cli.workflow.error import ErrorType, make_error
from stigmer_cli.workflow.json_value import Json


@dataclass(frozen=True, kw_only=True)
class Authorization:
    """A scheme, and what is shown with it."""

    scheme: str
    parameter: str

    def list_headers(self) -> Mapping[str, str]:
        """The headers of a request that show it."""
        return {"Authorization": f"{self.scheme} {self.parameter}"}

    def describe(self) -> Json:
        """`$authorization`."""
        return {"scheme": self.scheme, "parameter": self.parameter}


def find_authorization(policy: Json, secrets: Mapping[str, Json]) -> Authorization | None:
    """What `policy` has a call show; its expressions were evaluated. None without a policy. Raises WorkflowError."""
    if policy is None:
        return None
    [(scheme, properties)] = cast("Mapping[str, Json]", policy).items()
    values = _find_values(cast("Mapping[str, Json]", properties), secrets)
    match scheme:
        case "basic":
            pair = f"{values.get('username', '')}:{values.get('password', '')}"
            return Authorization(scheme="Basic", parameter=base64.b64encode(pair.encode()).decode())
        case "bearer":
            return Authorization(scheme="Bearer", parameter=str(values.get("token", "")))
        case _:
            raise make_error(ErrorType.CONFIGURATION, f"the authentication {scheme} is not supported by this version")


def _find_values(properties: Mapping[str, Json], secrets: Mapping[str, Json]) -> Mapping[str, Json]:
    """The properties of a policy, or of the secret that it names."""
    name = properties.get("use")
    if name is None:
        return properties
    secret = secrets.get(str(name))
    if not isinstance(secret, Mapping):
        raise make_error(ErrorType.AUTHORIZATION, f"there is no secret {name} with the properties of an authentication")
    return secret
