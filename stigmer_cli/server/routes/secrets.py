"""Secrets: set, list, delete, and the values for a runner that needs them."""

import structlog
from fastapi import APIRouter, Response

from stigmer_cli.api.secrets import (
    ResolveRequest,
    ResolveResponse,
    RotateResponse,
    SecretItem,
    SecretList,
    SecretRequest,
    secret_item,
)
from stigmer_cli.server.routes.called import Called

NO_STORE = "no-store"

router = APIRouter(prefix="/v1")

log = structlog.get_logger()


@router.post("/secrets")
async def set_secret(body: SecretRequest, called: Called) -> SecretItem:
    """Keep a value under a name, in place of the value that was there."""
    kept = await called.vault.put(body.name, body.value)
    log.info("secret_set", secret=body.name)
    return secret_item(kept)


@router.get("/secrets")
async def list_secrets(called: Called) -> SecretList:
    """All secrets by name, without their values."""
    items = [secret_item(one) for one in await called.store.secrets.list()]
    return SecretList(items=items, problem=await called.vault.find_problem())


@router.get("/secrets/{name}")
async def get_secret(name: str, called: Called) -> SecretItem:
    """One secret without its value."""
    return secret_item(await called.store.secrets.get(name))


@router.delete("/secrets/{name}")
async def delete_secret(name: str, called: Called) -> SecretItem:
    """Delete a secret; this needs no key."""
    gone = await called.store.secrets.delete(name)
    log.info("secret_deleted", secret=name)
    return secret_item(gone)


@router.post("/secrets:rotateKey")
async def rotate_key(called: Called) -> RotateResponse:
    """Encrypt all secrets with a new key."""
    key_id, count = await called.vault.rotate_key()
    log.info("secrets_key_changed", key=key_id, secrets=count)
    return RotateResponse(key_id=key_id, secrets=count)


@router.post("/secrets:resolve")
async def resolve_secrets(body: ResolveRequest, response: Response, called: Called) -> ResolveResponse:
    """The values that a runner needs just now."""
    response.headers["Cache-Control"] = NO_STORE
    values = await called.vault.resolve(body.names)
    log.debug("secrets_delivered", secrets=sorted(values))
    return ResolveResponse(values=dict(values))
