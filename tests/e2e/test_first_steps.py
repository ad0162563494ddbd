"""The README's path, with the installed command and real processes: up, apply, run, look, down."""

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pexpect  # type: ignore[import-untyped] # its stubs are not installed
import pytest
from mcp import Client
from mcp.client.stdio import StdioServerParameters, stdio_client

from tests.support.installed import Stigmer, installed
from tests.support.polling import wait_until

RUNS_MAX = 5


@pytest.fixture(scope="module")
def stigmer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stigmer]:
    """A stack that is up, shared by the tests of this file."""
    with installed(tmp_path_factory.mktemp("first") / "home") as one:
        one.ok("up")
        one.apply_agent()
        yield one


def repeat_until_shown(run: Callable[[], str], words: str) -> str:
    """The first output of `run` that holds `words`, or that of the last try.

    Output lacks the submit where a runner claims an execution before the server records its submit.
    """
    for _ in range(RUNS_MAX - 1):
        if words in (text := run()):
            return text
    return run()


def test_a_second_up_changes_nothing_and_its_last_line_is_the_object(stigmer: Stigmer) -> None:
    *_progress, last = stigmer.ok("up", "-o", "stream-json").splitlines()
    assert (json.loads(last)["state"], json.loads(last)["started"]) == ("ready", [])


def test_run_streams_the_answer_to_stdout_and_talk_to_stderr(stigmer: Stigmer) -> None:
    done = stigmer("run", "greeter", "hello there", "--timeout", "60")
    assert done.returncode == 0, done.stderr
    assert "hello there" in done.stdout
    assert re.search(r"aex-[0-9a-z]{26} COMPLETED", done.stderr)


def test_run_as_json_prints_the_resource_and_nothing_else(stigmer: Stigmer) -> None:
    done = stigmer("run", "greeter", "as json", "-o", "json", "--timeout", "60")
    resource = json.loads(done.stdout)
    assert resource["kind"] == "AgentExecution"
    assert resource["status"]["phase"] == "COMPLETED"
    assert re.fullmatch(r"aex-[0-9a-z]{26}", resource["metadata"]["id"])
    assert resource["status"]["messages"][-1]["content"] == resource["status"]["output"]


def test_run_as_a_stream_prints_events_and_at_last_the_execution(stigmer: Stigmer) -> None:
    run = ("run", "greeter", "as a stream", "-o", "stream-json", "--timeout", "60")
    text = repeat_until_shown(lambda: stigmer(*run).stdout, "submitted (run ")
    lines = [json.loads(line) for line in text.splitlines()]
    types = [line["event"]["type"] for line in lines[:-1]]
    assert types[:3] == ["accepted", "submitted", "claimed"]
    assert types[-1] == "completed"
    assert lines[-1]["execution"]["status"]["phase"] == "COMPLETED"
    assert [line["event"]["seq"] for line in lines[:-1]] == list(range(1, len(lines)))


def test_a_detached_run_is_followed_by_watch(stigmer: Stigmer) -> None:
    name = stigmer.ok("run", "greeter", "later", "--detach").strip()
    assert re.fullmatch(r"aex-[0-9a-z]{26}", name)
    done = stigmer("executions", "watch", name, "--timeout", "60")
    assert (done.returncode, "later" in done.stdout) == (0, True)


def test_a_message_is_read_from_standard_input(stigmer: Stigmer) -> None:
    assert stigmer.ok("run", "greeter", "-", stdin="from a pipe\n").endswith("from a pipe\n")


def test_a_message_is_read_from_a_file(stigmer: Stigmer, tmp_path: Path) -> None:
    (tmp_path / "message").write_text("from a file\n")
    assert stigmer.ok("run", "greeter", "--file", str(tmp_path / "message")).endswith("from a file\n")


def test_an_execution_is_named_by_a_part_of_its_id_or_as_the_last(stigmer: Stigmer) -> None:
    names = [stigmer.ok("run", "greeter", f"number {n}", "--detach").strip() for n in (1, 2)]
    stigmer.ok("executions", "watch", names[0][-8:])
    assert stigmer.json("executions", "watch", "@last")["metadata"]["id"] == names[1]
    cancelled = stigmer("executions", "cancel", "@last:greeter")
    assert cancelled.stderr == f"@last:greeter is {names[1]} (greeter, COMPLETED)\n"
    assert cancelled.stdout == f"{names[1]} had ended before: COMPLETED\n"
    refused = stigmer("executions", "cancel", names[0][: len("aex-01m8")])
    assert refused.returncode == 2
    assert f"  {names[1]}  greeter, COMPLETED, " in refused.stderr


def test_get_shows_every_event(stigmer: Stigmer) -> None:
    def run_and_get() -> str:
        name = stigmer.ok("run", "greeter", "all events", "--detach").strip()
        stigmer.ok("executions", "watch", name)
        return stigmer.ok("executions", "get", name)

    text = repeat_until_shown(run_and_get, "submitted (run ")
    for part in ("COMPLETED", "accepted", "submitted (run ", "claimed by runner ", "/agent-execution/invoke/"):
        assert part in text


def test_an_agents_description_is_read_from_its_spec(stigmer: Stigmer) -> None:
    assert "says hello" in stigmer.ok("agents", "list")
    agent = stigmer.json("agents", "get", "greeter")
    assert agent["spec"] == {"description": "says hello", "instructions": "", "model": "echo"}


def test_an_unknown_model_is_refused_with_its_place(stigmer: Stigmer) -> None:
    manifest = "apiVersion: agentic.stigmer.ai/v1\nkind: Agent\nmetadata: {name: lost}\nspec:\n  model: nobody:knows\n"
    done = stigmer("apply", "-f", "-", stdin=manifest)
    assert done.returncode == 2
    assert "<stdin>:5:3: spec.model: there is no model 'nobody:knows'" in done.stderr


def test_a_missing_key_says_what_to_set(stigmer: Stigmer) -> None:
    stigmer.apply_agent("keyless", model="openai:gpt-x")
    done = stigmer("run", "keyless", "hello", "--timeout", "60")
    assert done.returncode == 1
    assert "OPENAI_API_KEY" in done.stderr


def test_once_its_cause_is_gone_a_failure_goes_on_where_it_stopped(stigmer: Stigmer) -> None:
    stigmer.apply_agent("repaired", model="openai:gpt-x")
    assert stigmer("run", "repaired", "hello again", "--label", "batch=17", "--timeout", "60").returncode == 1
    stigmer.apply_agent("repaired", model="echo")
    planned = stigmer.json("executions", "resume", "--agent", "repaired", "--phase", "FAILED", "--dry-run")
    assert planned["summary"] == {"resumed": 1, "undecided": 0, "open": 0, "ended": 0, "missing": 0}
    assert stigmer.ok("executions", "resume", "@last:repaired").strip() == "1 resumed"
    assert stigmer.ok("executions", "watch", "@last:repaired").endswith("hello again\n")
    found = stigmer.json("executions", "get", "@last:repaired")
    assert (found["status"]["phase"], found["status"]["epoch"]) == ("COMPLETED", 2)
    ended = stigmer("executions", "resume", found["metadata"]["id"])
    assert (ended.returncode, "it is COMPLETED" in ended.stdout) == (1, True)
    assert stigmer.ok("executions", "rerun", "@last:repaired").endswith("hello again\n")
    again = stigmer.json("executions", "get", "@last:repaired")
    assert again["metadata"]["id"] != found["metadata"]["id"]
    assert again["metadata"]["labels"] == {"batch": "17"}


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["run", "nobody", "hi"], 5, "nobody"),
        (["executions", "get", "aex-00000000000000000000000000"], 5, "aex-00000000000000000000000000"),
        (["executions", "get", "12"], 2, "too short"),
        (["executions", "get", "zzzzzzz"], 5, "zzzzzzz"),
        (["executions", "get", "@lst"], 2, "@last-failed"),
        (["agents", "get", "nobody"], 5, "nobody"),
        (["apply", "-f", "/nowhere.yaml"], 2, "/nowhere.yaml"),
        (["run", "greeter"], 2, "missing argument"),
        (["run", "greeter", " "], 2, "the message is empty"),
        (["run", "greeter", "--file", "/dev/zero"], 2, "it is a device"),
        (["frobnicate"], 2, "frobnicate"),
        (["config", "get", "sever_port"], 2, "did you mean server_port"),
        (["run", "greeter", "hi", "--timeout", "0"], 2, "more than 0"),
    ],
)
def test_every_error_has_its_exit_code_and_a_hint(
    stigmer: Stigmer, arguments: list[str], code: int, words: str
) -> None:
    done = stigmer(*arguments)
    assert done.returncode == code
    assert done.stdout == ""
    assert words.lower() in done.stderr.lower()
    assert "hint: " in done.stderr
    assert "Traceback" not in done.stderr


def test_a_reader_that_leaves_gets_no_traceback(stigmer: Stigmer) -> None:
    script = f"'{stigmer.command}' executions list --limit 1000 | head -c 1"
    done = subprocess.run(
        ["bash", "-c", script], env=stigmer.environment, capture_output=True, text=True, timeout=30, check=False
    )
    assert "Traceback" not in done.stderr
    assert "Error" not in done.stderr


def test_list_filters_by_phase_and_age(stigmer: Stigmer) -> None:
    stigmer.ok("run", "greeter", "one more", "--timeout", "60")
    assert stigmer.json("executions", "list", "--phase", "pending")["items"] == []
    assert stigmer.json("executions", "list", "--older-than", "3600")["items"] == []
    assert stigmer.json("executions", "list", "--phase", "COMPLETED", "--agent", "greeter", "--limit", "1")["items"]


def test_a_rotated_token_counts_at_once(stigmer: Stigmer) -> None:
    stigmer.ok("config", "rotate-token")
    stigmer.ok("run", "greeter", "with the new token", "--timeout", "60")


def test_a_running_execution_is_cancelled_and_says_so(stigmer: Stigmer) -> None:
    stigmer.apply_agent("slow", model="echo:slow")
    name = stigmer.ok("run", "slow", " ".join(["word"] * 300), "--detach").strip()
    wait_until(lambda: stigmer.json("executions", "get", name)["status"]["phase"] == "IN_PROGRESS", within_s=30)
    assert "asked to end" in stigmer.ok("executions", "cancel", name)
    done = stigmer("executions", "watch", name, "--timeout", "30")
    assert (done.returncode, "CANCELLED" in done.stderr) == (1, True)
    assert stigmer.ok("executions", "cancel", name).strip() == f"{name} CANCELLED"


def test_apply_is_all_or_nothing(stigmer: Stigmer, tmp_path: Path) -> None:
    good = "apiVersion: agentic.stigmer.ai/v1\nkind: Agent\nmetadata: {name: half}\n"
    file = tmp_path / "agents.yaml"
    file.write_text(f"{good}---\n{good.replace('half', 'other')}spek: {{}}\n")
    done = stigmer("apply", "-f", str(file))
    assert done.returncode == 2
    assert f"{file}:8:1: unknown key 'spek'; did you mean 'spec'?" in done.stderr
    assert stigmer("agents", "get", "half").returncode == 5


def test_a_chat_at_a_terminal_goes_on_after_ctrl_c_and_ends_with_ctrl_d(stigmer: Stigmer) -> None:
    stigmer.apply_agent("slow", model="echo:slow")
    environment = {**stigmer.environment, "TERM": "xterm", "NO_COLOR": "1"}
    arguments = ["chat", "slow", "--session", "at-a-terminal"]
    chat = pexpect.spawn(stigmer.command, arguments, env=environment, dimensions=(24, 90), timeout=30, encoding="utf-8")
    chat.expect(r"session at-a-terminal is new.*\x1b\[\?2004h")
    chat.send("\x1b[200~one\ntwo\x1b[201~")  # a paste
    chat.send("\r")
    chat.expect(r"was asked\): one\r\ntwo\r\n.*\x1b\[\?2004h")
    chat.send("word " * 200 + "\r")
    chat.expect(r"was asked\): word word")
    chat.sendintr()
    chat.expect(r"\^C\r\ncancelling the answer.*cancelled\r\n.*\x1b\[\?2004h")
    chat.sendintr()
    chat.expect(r"Ctrl-C again, or Ctrl-D, ends the chat\r\n.*\x1b\[\?2004h")
    chat.sendeof()
    chat.expect("to go on: stigmer chat slow --session at-a-terminal")
    chat.expect(pexpect.EOF)
    chat.close()
    assert chat.exitstatus == 0
    assert "\x1b[3" not in chat.before
    phases = [one["status"]["phase"] for one in stigmer.json("sessions", "get", "at-a-terminal")["items"]]
    assert phases == ["COMPLETED", "CANCELLED"]


def test_what_ctrl_c_prints_begins_a_line_of_its_own(stigmer: Stigmer, tmp_path: Path) -> None:
    script = tmp_path / "turns.yaml"
    script.write_text("- {text: late, delay: 30}\n")
    stigmer.apply_agent("late", model=f"script:{script}")
    environment = {**stigmer.environment, "TERM": "xterm", "NO_COLOR": "1"}
    run = pexpect.spawn(
        stigmer.command, ["run", "late", "x"], env=environment, dimensions=(24, 200), timeout=30, encoding="utf-8"
    )
    wait_until(lambda: "IN_PROGRESS" in stigmer.ok("executions", "list", "--agent", "late"))
    run.sendintr()
    run.expect(r"\^C\r\n(aex-\w+) continues; to follow it: stigmer executions watch (aex-\w+)\r\n")
    stigmer.ok("executions", "cancel", run.match[1])
    run.expect(pexpect.EOF)
    run.close()
    assert run.exitstatus == 130


def test_a_chat_is_suspended_by_ctrl_z_and_goes_on_with_fg(stigmer: Stigmer) -> None:
    environment = {**stigmer.environment, "TERM": "xterm", "NO_COLOR": "1", "PS1": "shell> "}
    shell = pexpect.spawn("bash", ["--norc", "-i"], env=environment, dimensions=(24, 90), timeout=30, encoding="utf-8")
    with shell:
        shell.expect_exact("shell> ")
        shell.sendline(f"{stigmer.command} chat greeter --session suspended")
        shell.expect(r"session suspended is new.*\x1b\[\?2004h")
        shell.send("half a ")
        shell.expect_exact("half a")
        shell.send("\x1a")
        shell.expect(r"Stopped.*shell> ")
        shell.sendline("fg")
        shell.expect_exact("half a")
        shell.send("message\r")
        shell.expect(r"was asked\): half a message\r\n.*\x1b\[\?2004h")
        shell.sendeof()
        shell.expect_exact("to go on: stigmer chat greeter --session suspended")
        shell.expect_exact("shell> ")


def test_a_chat_without_a_terminal_answers_each_line(stigmer: Stigmer) -> None:
    done = stigmer("chat", "greeter", "--session", "piped", stdin="first\n\n/help me\n")
    assert done.returncode == 0
    assert done.stdout.splitlines() == [f"Echo (no model was asked): {line}" for line in ("first", "/help me")]
    assert done.stderr.splitlines() == ["to go on: stigmer chat greeter --session piped"]
    refused = stigmer("chat", "slow", "--session", "piped", stdin="first\n")
    assert (refused.returncode, "conversation with the agent greeter" in refused.stderr) == (1, True)
    assert stigmer.ok("sessions", "delete", "piped", "--yes") == "session/piped deleted with 2 executions\n"
    assert stigmer("sessions", "get", "piped").returncode == 5


async def test_a_coding_agent_runs_an_agent_looks_at_it_and_cancels_it(stigmer: Stigmer) -> None:
    stigmer.apply_agent("slow", model="echo:slow")
    told: list[tuple[float, float | None, str | None]] = []

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        told.append((progress, total, message))

    server = StdioServerParameters(
        command=stigmer.command, args=["mcp", "--allow-changes"], env=dict(stigmer.environment)
    )
    async with Client(stdio_client(server)) as client:
        done = await client.call_tool("run_agent", {"agent": "greeter", "message": "by a tool"}, progress_callback=hear)
        assert done.structured_content["phase"] == "COMPLETED"
        assert done.structured_content["output"].endswith("by a tool")
        assert told[0] == (0, None, f"accepted {done.structured_content['id']}")
        waited = {"agent": "slow", "message": "word " * 300, "wait_s": 0}
        name = (await client.call_tool("run_agent", waited)).structured_content["id"]
        assert (await client.call_tool("cancel_execution", {"execution": name})).structured_content["id"] == name
        found = await client.call_tool("get_execution", {"execution": name})
        assert found.structured_content["labels"] == {"stigmer.ai/by": "mcp"}
        listed = await client.call_tool("list_executions", {"agent": "slow", "limit": 1})
        assert [one["id"] for one in listed.structured_content["executions"]] == [name]
