"""Seals secrets before they are stored, and opens them for runners: AES-256-GCM, bound to store and name."""

import asyncio
import os
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from stigmer_cli.domain.identity import StoreId
from stigmer_cli.domain.secret import Secret, find_name_problem, find_value_problem
from stigmer_cli.errors import ConfigError, MachineError, RequestError, TimedOut, Unavailable
from stigmer_cli.secret_key import (
    SecretKey,
    key_file_of,
    lock_file_of,
    make_folder,
    make_key,
    new_key,
    read_keys,
    write_keys,
)
from stigmer_cli.secret_values import DELIVERED
from stigmer_cli.settings import BY_NAME, Settings
from stigmer_cli.store.secrets import OtherKey, SealedSecret
from stigmer_cli.store.store import Store
from stigmer_cli.supervisor.lock import held

NONCE_BYTES = 12
LOCK_WITHIN_S = 10.0
"""How long another server that shares the file of the key is waited for: it encrypts all secrets within a second."""

VARIABLE = BY_NAME["secrets_key_file"].variable


class Vault:
    """The secrets of `store`, with the key that the settings name."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self._file = key_file_of(settings)
        self._changing = asyncio.Lock()

    async def put(self, name: str, value: str) -> Secret:
        """Keep `value` under `name`. The first secret makes the key, if its file is not there.

        Raises RequestError for a name or value that cannot be one, and ConfigError where the store's secrets have
        another key.
        """
        if problem := find_name_problem(name) or find_value_problem(value):
            raise RequestError(problem, hint="stigmer secrets set --help")
        DELIVERED.remember(value)
        async with self._alone(is_rotation=False):
            known = await self._store.secrets.key_id()
            key = await asyncio.to_thread(self._open_key, known)
            sealed = await asyncio.to_thread(seal, key, self._store.id, name, value)
            try:
                return await self._store.secrets.put(SealedSecret(name=name, sealed=sealed, key_id=key.id))
            except OtherKey as error:
                raise explain_other_key(self._file, error.key_id, key.id) from None

    async def resolve(self, names: Sequence[str]) -> Mapping[str, str]:
        """The values of those of `names` that there are; raises ConfigError where the key is not the right one."""
        try:
            values = await self._read(names)
        except ConfigError:  # the key may have been changed between the two reads
            values = await self._read(names)
        for value in values.values():
            DELIVERED.remember(value)
        return values

    async def rotate_key(self) -> tuple[str, int]:
        """Encrypt all secrets with a new key, which takes the place of the old one; its fingerprint, and their number.

        The file holds all keys until the secrets have the new one, so that a crash in between loses nothing. Raises
        ConfigError where the old key is not there, MachineError where the file cannot be written or locked,
        Unavailable where another server changes it for too long, and Conflict where one that has another file has
        changed the key meanwhile.
        """
        async with self._alone(is_rotation=True):
            known = await self._store.secrets.key_id()
            old = await asyncio.to_thread(self._open_key, known)
            new = new_key()
            await asyncio.to_thread(self._add_key, new)

            def reseal(one: SealedSecret) -> SealedSecret:
                value = unseal(old, self._store.id, one)
                return SealedSecret(name=one.name, sealed=seal(new, self._store.id, one.name, value), key_id=new.id)

            count = await self._store.secrets.reseal(reseal, key_id=old.id)
            named = await self._store.secrets.key_ids()
            await asyncio.to_thread(self._drop_others, new, named)
            return new.id, count

    async def find_problem(self) -> str:
        """Why the secrets cannot be read, as a sentence; empty if they can."""
        known = await self._store.secrets.key_id()
        if known is None:
            return ""
        try:
            await asyncio.to_thread(self._open_key, known)
        except ConfigError as error:
            return error.message
        return ""

    @asynccontextmanager
    async def _alone(self, *, is_rotation: bool) -> AsyncIterator[None]:
        """Let nobody else who has this file change the key meanwhile, nor add a secret with one that is dropped.

        Where the file's folder cannot be written, a secret is added without a lock: no key is changed there. Raises
        MachineError for a rotation then, and Unavailable where it takes too long.
        """
        async with self._changing, AsyncExitStack() as stack:
            try:
                await asyncio.to_thread(make_folder, self._file)
                lock = held(lock_file_of(self._file), within_s=LOCK_WITHIN_S, clock=self._store.clock)
                await stack.enter_async_context(lock)
            except TimedOut as error:
                raise Unavailable(error.message, hint=error.hint) from error
            except MachineError:
                if is_rotation:
                    raise
            yield

    async def _read(self, names: Sequence[str]) -> Mapping[str, str]:
        found = await self._store.secrets.read_sealed(names)
        return await asyncio.to_thread(self._open_all, found) if found else {}

    def _add_key(self, new: SecretKey) -> None:
        write_keys(self._file, [new, *read_keys(self._file)])

    def _drop_others(self, new: SecretKey, named: Collection[str]) -> None:
        """Leave `new` in the file, and of the others those that a secret still has."""
        others = [key for key in read_keys(self._file) if key.id in named and key.id != new.id]
        write_keys(self._file, [new, *others])

    def _open_all(self, found: Sequence[SealedSecret]) -> Mapping[str, str]:
        keys = {one.key_id: self._open_key(one.key_id) for one in found}
        return {one.name: unseal(keys[one.key_id], self._store.id, one) for one in found}

    def _open_key(self, known: str | None) -> SecretKey:
        """The key; made where no secret has one yet. Raises ConfigError where `known` is another one, or unreadable."""
        try:
            keys = read_keys(self._file)
        except MachineError as error:  # only a person can change it: a runner would try for ever
            raise ConfigError(error.message, hint=error.hint) from error
        if known is None:
            return keys[0] if keys else make_key(self._file)
        found = next((key for key in keys if key.id == known), None)
        if found is None:
            raise explain_other_key(self._file, known, keys[0].id if keys else None)
        return found


def explain_other_key(file: Path, known: str, found: str | None) -> ConfigError:
    """The error of a server whose key is not that of the store's secrets: `known` and `found` are fingerprints."""
    has = "is not there" if found is None else f"holds another one ({found})"
    return ConfigError(
        f"the secrets of this store are encrypted with the key {known}, and {file} {has}",
        hint=f"put that key there, from a backup or another server of this store ({VARIABLE} names the file);"
        " without it, delete each secret (stigmer secrets delete NAME) and set it again",
    )


def seal(key: SecretKey, store: StoreId, name: str, value: str) -> str:
    """`value` encrypted, as text. It can be opened only as the secret `name` of `store`."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415 - for those who have secrets

    nonce = os.urandom(NONCE_BYTES)
    return b64encode(nonce + AESGCM(key.value).encrypt(nonce, value.encode(), _context(store, name))).decode("ascii")


def unseal(key: SecretKey, store: StoreId, secret: SealedSecret) -> str:
    """The value of `secret`; raises ConfigError where its row was changed or belongs to another name or store."""
    from cryptography.exceptions import InvalidTag  # noqa: PLC0415 - as above
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415

    try:
        data = b64decode(secret.sealed, validate=True)
        opened = AESGCM(key.value).decrypt(data[:NONCE_BYTES], data[NONCE_BYTES:], _context(store, secret.name))
    except (InvalidTag, ValueError) as error:
        raise ConfigError(
            f"the stored value of the secret {secret.name} is damaged", hint=f"stigmer secrets set {secret.name}"
        ) from error
    return opened.decode()


def _context(store: StoreId, name: str) -> bytes:
    return f"stigmer secret\0{store}\0{name}".encode()
