"""A server of tools that behaves as servers in the world do: it speaks the protocol by hand, and badly.

python odd_server.py HABIT...

Its tools return what their names say. A habit is something that it does all the time.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

HABITS = set(sys.argv[1:])
SCHEMA = {"type": "object", "properties": {}}
NUMBER = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
NULLS = {
    "properties": {
        "default": {"type": "object", "properties": None, "required": None, "default": None},
        "choice": {"enum": ["a", None], "description": None},
    },
    "required": None,
    "$defs": None,
}
BAD_NESTED = {
    "required_of_one": {"type": "string", "required": True},
    "type_as_text": {"type": "object", "properties": {"y": "string"}},
    "one_choice": {"enum": "a"},
}
NAMES = (
    "echo",
    "a.b/c",
    "schema_without_content",
    "schema_broken",
    "huge",
    "image",
    "structured",
    "empty",
    "unknown_kind",
)
MORE = (
    "half_character",
    "list",
    "plain_text",
    "error",
    "protocol_error",
    "server_error",
    "slow_with_progress",
    "asks_back",
    "dies_after_answer",
    "where",
    "changes_list",
)


late: list[str] = []


def send(message: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
    sys.stdout.flush()


def text(words: str, **more: object) -> dict[str, Any]:
    return {"content": [{"type": "text", "text": words}], **more}


def tool(name: str) -> dict[str, Any]:
    found: dict[str, Any] = {"name": name, "description": name, "inputSchema": SCHEMA}
    if name.startswith("schema"):
        found["outputSchema"] = NUMBER
    return found


def listed(cursor: str | None) -> dict[str, Any]:
    if "many" in HABITS:
        first = int(cursor or 0)
        more = {"nextCursor": str(first + 100)} if first < 400 else {}
        return {"tools": [tool(f"tool_{number}") for number in range(first, first + 100)], **more}
    if "same-page" in HABITS:
        return {"tools": [tool("echo")], "nextCursor": "again"}
    tools = [tool(name) for name in (*NAMES, *MORE, *late)]
    if "bad-tool" in HABITS:
        tools.append({"name": "bad", "inputSchema": "none"})
        tools.append({"name": "string", "inputSchema": {"type": "string"}})
        tools.append({"name": "null", "inputSchema": NULLS})
        tools.append({"name": "any", "inputSchema": {"properties": {"x": True, "required": ["x"]}}})
    if "twice" in HABITS:
        tools.append(tool("echo"))
    if "bad-nested" in HABITS:
        for name, schema in BAD_NESTED.items():
            tools.append({"name": name, "inputSchema": {"type": "object", "properties": {"x": schema}}})
    return {"tools": tools}


def slow_with_progress(params: dict[str, Any]) -> dict[str, Any]:
    token = (params.get("_meta") or {}).get("progressToken")
    for number in range(4):
        time.sleep(0.25)
        if token is not None:
            send({"method": "notifications/progress", "params": {"progressToken": token, "progress": number}})
    return text("at last")


def asks_back(_params: dict[str, Any]) -> dict[str, Any]:
    send({"id": "s-1", "method": "sampling/createMessage", "params": {"messages": [], "maxTokens": 5}})
    send({"id": "s-2", "method": "roots/list"})
    send({"id": "s-3", "method": "ping"})
    answers = [json.loads(sys.stdin.readline()) for _ in range(3)]
    return text(json.dumps(sorted("error" if "error" in one else "result" for one in answers)))


def changes_list(_params: dict[str, Any]) -> dict[str, Any]:
    late.append("late")
    send({"method": "notifications/tools/list_changed"})
    send({"method": "notifications/made/up", "params": {"x": 1}})
    send({"method": "notifications/message", "params": {"level": "info", "data": "hi"}})
    return text("changed")


DOES = {"slow_with_progress": slow_with_progress, "asks_back": asks_back, "changes_list": changes_list}
ERRORS: dict[str, dict[str, Any]] = {
    "protocol_error": {"code": -32602, "message": "wrong arguments", "data": {"field": "n", "why": "no number"}},
    "server_error": {"code": -32000, "message": "the mailbox is full"},
}
RETURNS: dict[str, dict[str, Any]] = {
    "schema_without_content": text("done all the same"),
    "schema_broken": text('{"n": "x"}', structuredContent={"n": "x"}),
    "huge": text("x" * 2_000_000),
    "image": {"content": [{"type": "image", "data": "aGk=", "mimeType": "image/png"}]},
    "structured": text("summary", structuredContent={"n": 1, "all": ["a"]}),
    "list": {"structuredContent": [1]},
    "plain_text": {"content": "said"},
    "empty": {"content": [], "isError": None, "structuredContent": None},
    "unknown_kind": {"content": [{"type": "video", "data": "aGk="}]},
    "half_character": text("cut \ud83d", structuredContent={"\ud83d": "\ud83d\ude00"}),
    "error": text("no such file", isError=True),
    "where": text(str(Path.cwd())),
}


def call(params: dict[str, Any]) -> dict[str, Any]:
    name = params["name"]
    return DOES[name](params) if name in DOES else RETURNS.get(name) or text(f"this is {name}")


def answer(message: dict[str, Any]) -> None:
    id_, method, params = message.get("id"), message.get("method"), message.get("params") or {}
    if id_ is None or method is None:
        return
    if method == "server/discover" and "ends-at-discover" in HABITS:
        sys.exit("expected initialize")
    if method == "server/discover" and "silent-at-discover" in HABITS:
        return
    if "garbage" in HABITS:
        sys.stdout.write("INFO starting, please wait\n\x00\xff\n{not json}\n")
        sys.stderr.write("y" * 300_000)
    (answer_as_of_2026 if "modern-only" in HABITS else answer_as_of_2025)(id_, method, params)


def answer_as_of_2025(id_: object, method: str, params: dict[str, Any]) -> None:
    if method == "initialize":
        version = "2024-11-05" if "old" in HABITS else params["protocolVersion"]
        info = {"name": "odd", "version": "1"}
        send({"id": id_, "result": {"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": info}})
    elif method == "tools/list":
        send({"id": id_, "result": listed(params.get("cursor"))})
    elif method == "tools/call" and params["name"] in ERRORS:
        send({"id": id_, "error": ERRORS[params["name"]]})
    elif method == "tools/call":
        send({"id": id_, "result": call(params)})
        if params["name"] == "dies_after_answer":
            os._exit(3)
    else:
        send({"id": id_, "error": {"code": -32601, "message": f"no method {method}"}})


def answer_as_of_2026(id_: object, method: str, params: dict[str, Any]) -> None:
    more = {"resultType": "complete", "ttlMs": 0, "cacheScope": "public"}
    if method == "server/discover":
        send({"id": id_, "result": {"supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}, **more}})
    elif method == "tools/list":
        send({"id": id_, "result": {**listed(params.get("cursor")), **more}})
    elif method == "tools/call":
        send({"id": id_, "result": {**call(params), "resultType": "complete"}})
    else:
        data = {"supported": ["2026-07-28"], "requested": params.get("protocolVersion", "")}
        send({"id": id_, "error": {"code": -32022, "message": "unsupported protocol version", "data": data}})


def main() -> None:
    if "crash" in HABITS:
        sys.exit("no configuration file")
    if "silent" in HABITS:
        time.sleep(600)
    if "slow-to-start" in HABITS:
        print("fetching", file=sys.stderr, flush=True)
        time.sleep(3)
    if "child" in HABITS:
        print(subprocess.Popen(["sleep", "600"]).pid, file=sys.stderr, flush=True)
    if "stubborn" in HABITS:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while line := sys.stdin.readline():
        answer(json.loads(line))
    while "stubborn" in HABITS:
        time.sleep(1)


if __name__ == "__main__":
    main()
