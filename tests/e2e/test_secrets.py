"""Secrets on the command line: typed or piped, never an argument, and never shown again."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pexpect  # type: ignore[import-untyped] # its stubs are not installed
import pytest

from tests.support.installed import Stigmer
from tests.support.running_server import TOKEN, make_agent, served
from tests.support.temporal_server import free_port

VALUE = "canary-of-the-command-line"


@pytest.fixture
async def stigmer(tmp_path: Path) -> AsyncIterator[Stigmer]:
    """The command, and a server with an agent whose model needs a key; its Temporal is away."""
    async with served(tmp_path, f"127.0.0.1:{free_port()}") as server, server.client() as client:
        await make_agent(client, model="openai:gpt-5")
        yield Stigmer(tmp_path / "home", {"STIGMER_SERVER_URL": server.url, "STIGMER_TOKEN": TOKEN})


def _use(stigmer: Stigmer) -> str:
    """All that the commands print."""
    told = []

    def call(*arguments: str, code: int = 0, stdin: str = "") -> str:
        done = stigmer(*arguments, stdin=stdin)
        told.append(done.stdout + done.stderr)
        assert done.returncode == code, told[-1]
        return done.stdout

    assert "no secrets yet" in call("secrets", "list")
    assert call("secrets", "set", "OPENAI_API_KEY", stdin=f"{VALUE}\n") == "secret/OPENAI_API_KEY set\n"
    assert call("secrets", "set", "OPENAI_API_KEY", stdin=VALUE) == "secret/OPENAI_API_KEY changed\n"
    header, row = call("secrets", "list").splitlines()
    assert header.split() == ["NAME", "CREATED", "CHANGED", "USED", "BY"]
    assert row.startswith("OPENAI_API_KEY ")
    assert row.endswith("greeter")
    (item,) = json.loads(call("secrets", "list", "-o", "json"))["items"]
    assert sorted(item) == ["createdAt", "name", "updatedAt", "usedBy"]
    call("secrets", "set", "A", "an-argument", code=2)
    assert "an-argument" not in told[-1]
    call("secrets", "set", "A", stdin="tiny", code=2)
    call("secrets", "set", "a name", stdin=VALUE, code=2)
    call("secrets", "delete", "OPENAI_API_KEY", code=2)
    assert "which greeter refers to" in told[-1]
    assert call("secrets", "delete", "OPENAI_API_KEY", "--yes") == "secret/OPENAI_API_KEY deleted\n"
    call("secrets", "delete", "OPENAI_API_KEY", "--yes", code=5)
    return "".join(told)


async def test_a_secret_is_piped_in_listed_and_deleted(stigmer: Stigmer) -> None:
    assert VALUE not in await asyncio.to_thread(_use, stigmer)


def _type(stigmer: Stigmer) -> str:
    child = pexpect.spawn(stigmer.command, ["secrets", "set", "TYPED"], env=stigmer.environment, encoding="utf-8")
    try:
        child.expect("Value of TYPED: ")
        child.sendline(VALUE)
        child.expect(pexpect.EOF)
        return str(child.before)
    finally:
        child.close(force=True)


async def test_a_typed_secret_is_not_echoed(stigmer: Stigmer) -> None:
    assert (await asyncio.to_thread(_type, stigmer)).strip() == "secret/TYPED set"
