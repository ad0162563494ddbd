"""Secrets through a real server: encrypted at rest, for holders of the token only, and in no text that leaves it."""

import asyncio
import shutil
import stat
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest

from stigmer_cli.client import Client
from stigmer_cli.clock import SystemClock
from stigmer_cli.errors import ConfigError, MachineError, NotFound, RequestError, StoreBusy
from stigmer_cli.secret_key import make_key
from stigmer_cli.server.vault import Vault
from stigmer_cli.settings import Home, Settings
from stigmer_cli.store.secrets import SealedSecret
from stigmer_cli.store.store import Store, open_store
from tests.support.canaries import CANARIES, leaked_in
from tests.support.running_server import TOKEN, Served, make_agent, served
from tests.support.temporal_server import free_port


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=Home(path=tmp_path / "home"))


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with await open_store(f"sqlite:///{tmp_path / 'store.db'}", clock=SystemClock()) as opened:
        yield opened


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Served]:
    async with served(tmp_path, f"127.0.0.1:{free_port()}") as one:
        yield one


def written_under(folder: Path) -> str:
    return "\n".join(path.read_bytes().decode("utf-8", "replace") for path in folder.rglob("*") if path.is_file())


async def test_the_first_secret_makes_a_key_that_only_its_owner_reads(store: Store, settings: Settings) -> None:
    file = settings.home.secrets_key_file
    vault = Vault(store, settings)
    assert await vault.resolve(["A"]) == {}
    assert not file.exists()
    await vault.put("A", "value-of-a")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert await Vault(store, settings).resolve(["A", "B"]) == {"A": "value-of-a"}


async def test_a_lost_key_is_said_with_the_way_out_which_works(store: Store, settings: Settings) -> None:
    vault, file = Vault(store, settings), settings.home.secrets_key_file
    await vault.put("A", "value-of-a")
    kept = file.read_bytes()
    file.unlink()
    for call in (vault.resolve(["A"]), vault.put("B", "value-of-b"), vault.put("A", "value-of-a")):
        with pytest.raises(
            ConfigError, match=f"encrypted with the key [0-9a-f]{{16}}, and {file} is not there"
        ) as caught:
            await call
        assert "stigmer secrets delete NAME" in caught.value.hint
    assert "is not there" in await vault.find_problem()
    assert not file.exists(), "a new key would hide that the old one is lost"
    make_key(file)
    with pytest.raises(ConfigError, match="holds another one"):
        await vault.resolve(["A"])
    file.write_bytes(kept)
    assert await vault.resolve(["A"]) == {"A": "value-of-a"}
    file.unlink()
    await store.secrets.delete("A")
    await vault.put("A", "value-of-a")
    assert await vault.find_problem() == ""


async def test_two_servers_share_a_key_file_or_the_second_refuses(
    store: Store, settings: Settings, tmp_path: Path
) -> None:
    await Vault(store, settings).put("A", "value-of-a")
    copy = tmp_path / "copied.key"
    shutil.copy(settings.home.secrets_key_file, copy)
    home = Home(path=tmp_path / "other")
    assert await Vault(store, Settings(home=home, secrets_key_file=str(copy))).resolve(["A"]) == {"A": "value-of-a"}
    with pytest.raises(ConfigError, match="is not there"):
        await Vault(store, Settings(home=home)).put("B", "value-of-b")


@pytest.mark.parametrize(("mode", "text", "said"), [(0o644, None, "others may read"), (0o600, b"x\n", "holds no key")])
async def test_a_key_file_that_cannot_be_used_is_named(
    store: Store, settings: Settings, mode: int, text: bytes | None, said: str
) -> None:
    vault, file = Vault(store, settings), settings.home.secrets_key_file
    await vault.put("A", "value-of-a")
    file.write_bytes(file.read_bytes() if text is None else text)
    file.chmod(mode)
    with pytest.raises(ConfigError, match=said):
        await vault.resolve(["A"])


async def test_all_secrets_get_a_new_key_and_a_crash_in_between_loses_none(store: Store, settings: Settings) -> None:
    vault, file = Vault(store, settings), settings.home.secrets_key_file
    assert (await vault.rotate_key())[1] == 0, "there is nothing to encrypt, and a key all the same"
    values = {"A": "value-of-a", "B": "value-of-b"}
    for name, value in values.items():
        await vault.put(name, value)
    before = file.read_bytes()
    key_id, count = await vault.rotate_key()
    assert (count, await store.secrets.key_id(), await vault.resolve(["A", "B"])) == (2, key_id, values)
    after = file.read_bytes()
    assert len(after.split()) == 1
    assert after != before
    file.write_bytes(before)
    with pytest.raises(ConfigError, match="holds another one"):
        await vault.resolve(["A"])
    file.write_bytes(before + after)  # as if the server had died before it dropped the old key
    assert await vault.resolve(["A", "B"]) == values
    fresh = make_key(settings.home.path / "fresh")
    file.write_bytes((settings.home.path / "fresh").read_bytes() + after)  # ... or before the secrets had the new one
    assert await vault.resolve(["A", "B"]) == values
    assert fresh.id != await store.secrets.key_id()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


async def test_servers_that_share_a_file_change_the_key_one_after_the_other(store: Store, settings: Settings) -> None:
    first, second = Vault(store, settings), Vault(store, settings)
    await first.put("A", "value-of-a")
    ids = await asyncio.gather(*(vault.rotate_key() for vault in (first, second, first, second)))
    assert len({key_id for key_id, _count in ids}) == 4
    assert await second.resolve(["A"]) == {"A": "value-of-a"}
    assert len(settings.home.secrets_key_file.read_bytes().split()) == 1


async def test_a_secret_is_not_set_with_a_key_that_is_dropped_meanwhile(store: Store, settings: Settings) -> None:
    first, second = Vault(store, settings), Vault(store, settings)
    await first.rotate_key()
    for vault in (first, second):
        await asyncio.gather(first.rotate_key(), vault.put("A", "value-of-a"), second.rotate_key())
        assert await first.resolve(["A"]) == {"A": "value-of-a"}
        await store.secrets.delete("A")


async def test_no_key_is_dropped_as_long_as_it_is_not_known_which_one_the_secrets_have(
    store: Store, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    vault, reseal = Vault(store, settings), store.secrets.reseal

    async def reseal_and_lose_the_answer(*arguments: Any, **named: Any) -> int:
        if len(tried) % 2:
            await reseal(*arguments, **named)
        tried.append(1)
        raise StoreBusy("the connection broke off")

    await vault.put("A", "value-of-a")
    tried: list[int] = []
    with monkeypatch.context() as patch:
        patch.setattr(store.secrets, "reseal", reseal_and_lose_the_answer)
        for _ in range(30):
            with pytest.raises(StoreBusy):
                await vault.rotate_key()
            assert await vault.resolve(["A"]) == {"A": "value-of-a"}
    assert len(settings.home.secrets_key_file.read_bytes().split()) == 31
    await vault.rotate_key()
    assert await vault.resolve(["A"]) == {"A": "value-of-a"}
    assert len(settings.home.secrets_key_file.read_bytes().split()) == 1


async def test_a_value_is_read_while_the_key_is_changed(
    store: Store, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    vault, read = Vault(store, settings), store.secrets.read_sealed
    await vault.put("A", "value-of-a")

    async def read_before_the_change(names: Sequence[str]) -> Sequence[SealedSecret]:
        monkeypatch.setattr(store.secrets, "read_sealed", read)
        rows = await read(names)
        await Vault(store, settings).rotate_key()
        return rows

    monkeypatch.setattr(store.secrets, "read_sealed", read_before_the_change)
    assert await vault.resolve(["A"]) == {"A": "value-of-a"}


async def test_a_secret_is_set_beside_a_key_whose_folder_is_read_only(
    store: Store, settings: Settings, tmp_path: Path
) -> None:
    await Vault(store, settings).put("A", "value-of-a")
    folder = tmp_path / "mounted"
    folder.mkdir()
    shutil.copy(settings.home.secrets_key_file, folder / "key")
    (folder / "key.lock").mkdir()  # cannot be opened, by root neither
    vault = Vault(store, Settings(home=settings.home, secrets_key_file=str(folder / "key")))
    await vault.put("B", "value-of-b")
    assert await vault.resolve(["A", "B"]) == {"A": "value-of-a", "B": "value-of-b"}
    with pytest.raises(MachineError, match=r"key\.lock"):
        await vault.rotate_key()


async def test_a_row_opens_only_under_its_own_name(store: Store, settings: Settings) -> None:
    vault = Vault(store, settings)
    await vault.put("A", "value-of-a")
    (row,) = await store.secrets.read_sealed(["A"])
    await store.secrets.put(SealedSecret(name="B", sealed=row.sealed, key_id=row.key_id))
    with pytest.raises(ConfigError, match="the stored value of the secret B is damaged"):
        await vault.resolve(["B"])


async def test_only_a_holder_of_the_token_gets_a_value_and_no_answer_is_kept(server: Served) -> None:
    async with server.client() as client, httpx.AsyncClient(base_url=server.url) as http:
        await client.set_secret("A", "value-of-a")
        assert await client.resolve_secrets(["A", "B"]) == {"A": "value-of-a"}
        body = {"names": ["A"]}
        for headers in ({}, {"Authorization": "Bearer wrong"}):
            refused = await http.post("/v1/secrets:resolve", json=body, headers=headers)
            assert refused.status_code == 401
            assert "value-of-a" not in refused.text
        told = await http.post("/v1/secrets:resolve", json=body, headers={"Authorization": f"Bearer {TOKEN}"})
        assert told.headers["Cache-Control"] == "no-store"


async def test_a_secret_that_cannot_be_kept_is_refused_without_its_value(server: Served) -> None:
    async with server.client() as client:
        for name, value in (("no name", "value-of-a"), ("A", "tiny"), ("A", "x" * 70_000)):
            with pytest.raises(RequestError) as caught:
                await client.set_secret(name, value)
            assert value not in caught.value.message + caught.value.hint
        with pytest.raises(NotFound):
            await client.delete_secret("A")


async def test_no_canary_is_in_the_store_a_log_a_problem_or_a_list(server: Served, tmp_path: Path) -> None:
    async with server.client() as client:
        await make_agent(client)
        for number, canary in enumerate(CANARIES):
            await client.set_secret(f"CANARY_{number}", canary)
        names = [f"CANARY_{number}" for number in range(len(CANARIES))]
        assert await client.resolve_secrets(names) == dict(zip(names, CANARIES, strict=True))
        told = [await _ask_for(client, canary) for canary in CANARIES]
        told.append((await client.secrets()).model_dump_json())
        told.append(await _metrics(server))
    assert leaked_in("\n".join(told)) == []
    assert leaked_in(written_under(tmp_path)) == []


async def _ask_for(client: Client, canary: str) -> str:
    """What the server says of an agent with that name: its answers repeat what they were asked."""
    with pytest.raises(NotFound) as caught:
        await client.agent(canary)
    return caught.value.message


async def _metrics(server: Served) -> str:
    async with httpx.AsyncClient(base_url=server.url, headers={"Authorization": f"Bearer {TOKEN}"}) as http:
        return (await http.get("/metrics")).text
