"""Secrets on the wire. A value travels in two places only: to the server to be kept, and to a runner that needs it."""

from pydantic import ConfigDict, Field

from stigmer_cli.api.wire import Asked, Moment, Sent
from stigmer_cli.domain.secret import Secret

NAME_MAX = 1_000
NAMES_MAX = 100


class SecretRequest(Asked):
    """Keep `value` under `name`, in place of the value that was there."""

    model_config = ConfigDict(**Asked.model_config, hide_input_in_errors=True)

    name: str = Field(max_length=NAME_MAX)
    value: str = Field(repr=False)


class SecretItem(Sent):
    """A secret without its value; `used_by` are the agents and workflows that refer to it."""

    name: str
    created_at: Moment
    updated_at: Moment
    used_by: list[str] = []


class SecretList(Sent):
    """All secrets by name. `problem` says, in a sentence, why their values cannot be read; empty if they can."""

    items: list[SecretItem]
    problem: str = ""


class ResolveRequest(Asked):
    """Which values a runner needs."""

    names: list[str] = Field(max_length=NAMES_MAX)


class ResolveResponse(Sent):
    """The values by name; a secret that is not there is left out."""

    model_config = ConfigDict(**Sent.model_config, hide_input_in_errors=True)

    values: dict[str, str] = Field(repr=False)


class RotateResponse(Sent):
    """The key of all secrets was changed: the fingerprint of the new one, and how many secrets there are."""

    key_id: str
    secrets: int


def secret_item(secret: Secret) -> SecretItem:
    """`secret` as it goes over the wire."""
    return SecretItem(
        name=secret.name, created_at=secret.created_at, updated_at=secret.updated_at, used_by=list(secret.users)
    )
