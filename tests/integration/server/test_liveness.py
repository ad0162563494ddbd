"""What the supervisor asks a server to see that it lives."""

import asyncio
from pathlib import Path

from stigmer_cli.settings import load
from stigmer_cli.stack.options import StackOptions
from stigmer_cli.stack.parts import build_parts
from tests.support.running_server import served
from tests.support.temporal_server import free_port


async def test_the_question_of_the_supervisor_is_one_that_the_server_answers(tmp_path: Path) -> None:
    async with served(tmp_path, f"127.0.0.1:{free_port()}") as running:
        settings = load({"server_port": str(running.port)}, {"STIGMER_HOME": str(tmp_path)}, user_home=tmp_path)
        liveness = build_parts(settings, StackOptions(ephemeral=True), {})[1].liveness
        assert liveness is not None
        reader, writer = await asyncio.open_connection(liveness.host, liveness.port)
        writer.write(liveness.question.encode())
        answer = await reader.read()
        writer.close()
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.endswith(b"ok\n")
