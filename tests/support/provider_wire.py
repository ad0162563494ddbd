"""Small servers that speak the wires of three providers, well or badly, as a test says."""

import json
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Json = Mapping[str, object]
KEY_HEADERS = ("Authorization", "x-api-key", "x-goog-api-key")


@dataclass(frozen=True, kw_only=True)
class Wire:
    """How a provider's answers look. `reasons`: its words for an end, by the library's; `path` follows the address."""

    name: str
    variable: str
    path: str
    reasons: Mapping[str, str]

    def events(self, words: Sequence[str], reason: str | None) -> Sequence[tuple[str, Json]]:
        """The events of an answer, with their types; `reason` None: it ends without one."""
        raise NotImplementedError

    def refusal(self, kind: str, message: str) -> Json:
        """The body of an error."""
        raise NotImplementedError


class _Anthropic(Wire):
    def events(self, words: Sequence[str], reason: str | None) -> Sequence[tuple[str, Json]]:
        usage = {"input_tokens": 812, "output_tokens": 1}
        message = {"id": "m", "type": "message", "role": "assistant", "model": MODELS["anthropic"], "content": []}
        block = {"index": 0, "content_block": {"type": "text", "text": ""}}
        found: list[tuple[str, Json]] = [
            ("message_start", {"message": {**message, "stop_reason": None, "stop_sequence": None, "usage": usage}}),
            ("content_block_start", block),
            *(("content_block_delta", {"index": 0, "delta": {"type": "text_delta", "text": word}}) for word in words),
        ]
        if reason is not None:
            delta = {"stop_reason": self.reasons[reason], "stop_sequence": None}
            end = {"delta": delta, "usage": {"input_tokens": 812, "output_tokens": 96}}
            found += [("content_block_stop", {"index": 0}), ("message_delta", end), ("message_stop", {})]
        return [(kind, {"type": kind, **data}) for kind, data in found]

    def refusal(self, kind: str, message: str) -> Json:
        return {"type": "error", "error": {"type": kind, "message": message}}


class _Google(Wire):
    def events(self, words: Sequence[str], reason: str | None) -> Sequence[tuple[str, Json]]:
        chunks: list[dict[str, object]] = [
            {"candidates": [{"content": {"role": "model", "parts": [{"text": word}]}, "index": 0}]} for word in words
        ]
        if reason is not None:
            chunks.append({"candidates": [{"finishReason": self.reasons[reason], "index": 0}]})
        usage = {"promptTokenCount": 812, "candidatesTokenCount": 96, "totalTokenCount": 908}
        return [("", {**chunk, "modelVersion": MODELS["google"], "usageMetadata": usage}) for chunk in chunks]

    def refusal(self, kind: str, message: str) -> Json:
        return {"error": {"code": 400, "message": message, "status": kind.upper()}}


class _Chat(Wire):
    def events(self, words: Sequence[str], reason: str | None) -> Sequence[tuple[str, Json]]:
        head = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": MODELS[self.name]}
        choices: list[Json] = [{"delta": {"content": word}, "index": 0, "finish_reason": None} for word in words]
        choices.append({"delta": {}, "index": 0, "finish_reason": self.reasons[reason] if reason else None})
        usage = {"prompt_tokens": 812, "completion_tokens": 96, "total_tokens": 908}
        return [("", {**head, "choices": [choice]}) for choice in choices] + [
            ("", {**head, "choices": [], "usage": usage})
        ]

    def refusal(self, kind: str, message: str) -> Json:
        return {"error": {"message": message, "type": kind}}


MODELS = {"anthropic": "claude-sonnet-5", "google": "gemini-2.5-flash", "ollama": "llama3"}
WIRES: Mapping[str, Wire] = {
    wire.name: wire
    for wire in (
        _Anthropic(
            name="anthropic",
            variable="ANTHROPIC_BASE_URL",
            path="",
            reasons={"stop": "end_turn", "length": "max_tokens", "content_filter": "refusal"},
        ),
        _Google(
            name="google",
            variable="GOOGLE_GEMINI_BASE_URL",
            path="",
            reasons={"stop": "STOP", "length": "MAX_TOKENS", "content_filter": "SAFETY"},
        ),
        _Chat(
            name="ollama",
            variable="OLLAMA_BASE_URL",
            path="/v1",
            reasons={"stop": "stop", "length": "length", "content_filter": "content_filter"},
        ),
    )
}


@dataclass
class Stub:
    """What the server says: `status` and `body`, or the answer; `breaks_after` events it closes the connection."""

    wire: Wire
    port: int = 0
    status: int = 200
    body: Json | str = ""
    headers: dict[str, str] = field(default_factory=dict)
    words: Sequence[str] = ("Hel", "lo")
    reason: str | None = "stop"
    breaks_after: int | None = None
    pause_s: float = 0.0
    keys: list[str] = field(default_factory=list)
    asked: list[Json] = field(default_factory=list)

    @property
    def is_error(self) -> bool:
        return bool(self.body) or self.status != HTTPStatus.OK

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}{self.wire.path}"


class _Route(BaseHTTPRequestHandler):
    stub: Stub

    def do_POST(self) -> None:
        stub = self.stub
        stub.asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        stub.keys.append(next((value for name in KEY_HEADERS if (value := self.headers[name])), ""))
        self.send_response(stub.status)
        self.send_header("Content-Type", "application/json" if stub.is_error else "text/event-stream")
        for header, value in stub.headers.items():
            self.send_header(header, value)
        if not stub.is_error:
            self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        if stub.is_error:
            self.wfile.write((stub.body if isinstance(stub.body, str) else json.dumps(stub.body)).encode())
        else:
            with suppress(OSError):  # who asked has had enough
                self._stream()

    def _stream(self) -> None:
        for number, (kind, data) in enumerate(self.stub.wire.events(self.stub.words, self.stub.reason)):
            if number == self.stub.breaks_after:
                return  # in the middle of a chunked body
            time.sleep(self.stub.pause_s)
            self._chunk((f"event: {kind}\n" if kind else "") + f"data: {json.dumps(data)}\n\n")
        self._chunk("")

    def _chunk(self, text: str) -> None:
        self.wfile.write(f"{len(text.encode()):x}\r\n{text}\r\n".encode())
        self.wfile.flush()

    def log_message(self, *_arguments: object) -> None:
        pass


@contextmanager
def provider_stub(name: str) -> Iterator[Stub]:
    """A server for the provider `name`, until the end of the block."""
    stub = Stub(wire=WIRES[name])
    with ThreadingHTTPServer(("127.0.0.1", 0), type("Route", (_Route,), {"stub": stub})) as http:
        stub.port = int(http.server_address[1])
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield stub
        finally:
            http.shutdown()
            thread.join()
