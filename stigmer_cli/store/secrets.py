"""Secrets by name, encrypted: the store never sees a value or the key.

All secrets of a store have one key, which each row names. A server with another key can delete secrets, not add one.
"""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import RowMapping, Text, bindparam, delete, func, or_, select, type_coerce, update

from stigmer_cli.domain.model_provider import PROVIDERS, find_provider
from stigmer_cli.domain.secret import SECRETS_MAX, Secret, find_references, list_names
from stigmer_cli.errors import Conflict, NotFound
from stigmer_cli.nearest import suggest_nearest
from stigmer_cli.store.async_engine import AsyncConnection
from stigmer_cli.store.database import Database, Writing, whole
from stigmer_cli.store.tables import agents, meta, secrets, workflow_versions, workflows

USERS_MAX = 1_000
"""How many agents, and how many workflows, are looked through for references."""

_LOCK = select(meta.c.key).order_by(meta.c.key).limit(1).with_for_update()
_BY_NAME = select(secrets).where(secrets.c.name == bindparam("name"))
_USERS = (
    select(agents.c.slug, agents.c.model, type_coerce(agents.c.document, Text).label("document"))
    .where(
        or_(
            *(agents.c.model.startswith(f"{provider}:", autoescape=True) for provider in PROVIDERS),
            type_coerce(agents.c.document, Text).contains("${secrets.", autoescape=True),
        )
    )
    .order_by(agents.c.slug)
    .limit(USERS_MAX)
)
_WORKFLOW_USERS = (
    select(workflows.c.namespace, workflows.c.name, workflows.c.version_id)
    .join(workflow_versions, workflow_versions.c.id == workflows.c.version_id)
    .where(workflow_versions.c.document.contains('"secrets"', autoescape=True))
    .order_by(workflows.c.name, workflows.c.namespace)
    .limit(USERS_MAX)
)
_DOCUMENT = select(workflow_versions.c.document).where(workflow_versions.c.id == bindparam("id"))


@dataclass(frozen=True, kw_only=True)
class SealedSecret:
    """A value as it is stored, and which key it is sealed with."""

    name: str
    sealed: str
    key_id: str


class OtherKey(Conflict):
    """The store has secrets with another key; `key_id` names it."""

    code = "other-secrets-key"

    def __init__(self, key_id: str) -> None:
        super().__init__(f"the secrets of this store are encrypted with the key {key_id}")
        self.key_id = key_id


class SecretTable:
    """Secrets by name."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @whole
    async def list(self) -> Sequence[Secret]:
        """All secrets by name, with the agents and workflows that refer to them."""
        async with self._database.reading() as connection:
            found = (await connection.execute(select(secrets).order_by(secrets.c.name))).mappings().all()
            users = await _read_users(connection)
        return [_secret_of(row, users) for row in found]

    @whole
    async def get(self, name: str) -> Secret:
        """One secret with the agents and workflows that refer to it; raises NotFound."""
        async with self._database.reading() as connection:
            return _secret_of(await _find(connection, name), await _read_users(connection))

    @whole
    async def key_id(self) -> str | None:
        """Which key the secrets have; None where there are none."""
        async with self._database.reading() as connection:
            return await _read_key_id(connection)

    @whole
    async def key_ids(self) -> Collection[str]:
        """All keys that secrets have: at most one, unless somebody has written to the store past this."""
        async with self._database.reading() as connection:
            return frozenset(await connection.scalars(select(secrets.c.key_id).distinct()))

    @whole
    async def read_sealed(self, names: Sequence[str]) -> Sequence[SealedSecret]:
        """Those of `names` that there are, as they are stored."""
        async with self._database.reading() as connection:
            rows = await connection.execute(select(secrets).where(secrets.c.name.in_(names)))
            return [
                SealedSecret(name=row["name"], sealed=row["sealed"], key_id=row["key_id"]) for row in rows.mappings()
            ]

    @whole
    async def put(self, secret: SealedSecret) -> Secret:
        """Add the secret, or give it this value; raises OtherKey, and Conflict where there are too many."""
        async with self._database.writing() as writing:
            await writing.connection.execute(_LOCK)  # two servers with a key each: one of them is the first
            known = await _read_key_id(writing.connection)
            if known not in (None, secret.key_id):
                raise OtherKey(str(known))
            await _put(writing, secret)
            return _secret_of(await _find(writing.connection, secret.name), await _read_users(writing.connection))

    @whole
    async def reseal(self, change: Callable[[SealedSecret], SealedSecret], *, key_id: str) -> int:
        """Put what `change` makes of each secret in its place, all or none; returns how many there are.

        Raises Conflict where one of them has another key than `key_id`, and what `change` raises.
        """
        async with self._database.writing() as writing:
            await writing.connection.execute(_LOCK)
            rows = (await writing.connection.execute(select(secrets))).mappings().all()
            if any(row["key_id"] != key_id for row in rows):
                raise Conflict(
                    "another server has changed the key of the secrets meanwhile", hint="stigmer secrets list"
                )
            for row in rows:
                new = change(SealedSecret(name=row["name"], sealed=row["sealed"], key_id=row["key_id"]))
                values = {"sealed": new.sealed, "key_id": new.key_id}
                await writing.connection.execute(update(secrets).where(secrets.c.name == new.name).values(**values))
            return len(rows)

    @whole
    async def delete(self, name: str) -> Secret:
        """Remove the secret and return what it was; raises NotFound."""
        async with self._database.writing() as writing:
            found = _secret_of(await _find(writing.connection, name), await _read_users(writing.connection))
            await writing.connection.execute(delete(secrets).where(secrets.c.name == name))
            return found


async def _put(writing: Writing, secret: SealedSecret) -> None:
    values = {"sealed": secret.sealed, "key_id": secret.key_id, "updated_at": writing.now}
    added = await writing.connection.execute(
        writing.backend.insert_or_skip(secrets, "name"), {"name": secret.name, "created_at": writing.now, **values}
    )
    if added.scalar_one_or_none() is None:
        await writing.connection.execute(update(secrets).where(secrets.c.name == secret.name).values(**values))
    elif int(await writing.connection.scalar(select(func.count()).select_from(secrets)) or 0) > SECRETS_MAX:
        raise Conflict(f"there are {SECRETS_MAX:,} secrets already", hint="stigmer secrets list")


async def _read_key_id(connection: AsyncConnection) -> str | None:
    found: str | None = await connection.scalar(select(secrets.c.key_id).limit(1))
    return found


async def _find(connection: AsyncConnection, name: str) -> RowMapping:
    found = (await connection.execute(_BY_NAME, {"name": name})).mappings().one_or_none()
    if found is None:
        names = list(await connection.scalars(select(secrets.c.name)))
        raise NotFound(f"there is no secret {name}{suggest_nearest(name, names)}", hint="stigmer secrets list")
    return found


async def _read_users(connection: AsyncConnection) -> Mapping[str, Sequence[str]]:
    """Who refers to a secret, by its name: agents by their slugs, workflows as `workflow/NAMESPACE/NAME`."""
    users: dict[str, list[str]] = {}
    for row in await connection.execute(_USERS):
        for name in _names_in(row.model, row.document or ""):
            users.setdefault(name, []).append(row.slug)
    for row in await connection.execute(_WORKFLOW_USERS):
        document = await connection.scalar(_DOCUMENT, {"id": row.version_id})  # one at a time: each may have 1 MiB
        for name in list_names(json.loads(document or "{}")):
            users.setdefault(name, []).append(f"workflow/{row.namespace}/{row.name}")
    return users


def _names_in(model: str, document: str) -> frozenset[str]:
    provider = find_provider(model)
    return find_references(document) | set(provider.keys if provider else ())


def _secret_of(row: RowMapping, users: Mapping[str, Sequence[str]]) -> Secret:
    created_at: datetime = row["created_at"]
    return Secret(
        name=row["name"],
        created_at=created_at,
        updated_at=row["updated_at"],
        users=tuple(users.get(row["name"], ())),
    )
