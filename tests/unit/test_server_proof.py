"""Whom the token may be sent to, and what a proof is worth to whom it was not made for."""

import json

import pytest

from stigmer_cli.errors import ServerBusy, ServerUnproven
from stigmer_cli.server_proof import (
    ANSWER_MAX,
    Challenge,
    TokenRule,
    address_of,
    may_send_token,
    proof_of,
    prove,
)

ADDRESS = "127.0.0.1:7234"


@pytest.mark.parametrize(
    ("url", "unless_told", "if_told"),
    [
        ("https://stigmer.example", TokenRule.OVER_TLS, TokenRule.OVER_TLS),
        ("https://127.0.0.1:7234", TokenRule.OVER_TLS, TokenRule.OVER_TLS),
        ("http://127.0.0.1:7234", TokenRule.AFTER_PROOF, TokenRule.AS_TOLD),
        ("http://127.9.9.9:7234", TokenRule.AFTER_PROOF, TokenRule.AS_TOLD),
        ("http://localhost:7234", TokenRule.AFTER_PROOF, TokenRule.AS_TOLD),
        ("http://[::1]:7234", TokenRule.AFTER_PROOF, TokenRule.AS_TOLD),
        ("http://localhost.evil.example:7234", TokenRule.NEVER, TokenRule.AS_TOLD),
        ("http://127.0.0.1.evil.example", TokenRule.NEVER, TokenRule.AS_TOLD),
        ("http://127.0.0.1@evil.example", TokenRule.NEVER, TokenRule.AS_TOLD),
        ("http://10.0.0.1:7234", TokenRule.NEVER, TokenRule.AS_TOLD),
        ("http://0.0.0.0:7234", TokenRule.NEVER, TokenRule.AS_TOLD),
        ("http://stigmer.example", TokenRule.NEVER, TokenRule.AS_TOLD),
    ],
)
def test_the_token_goes_to_whom_it_may(url: str, unless_told: TokenRule, if_told: TokenRule) -> None:
    assert may_send_token(url, is_insecure_allowed=False) is unless_told
    assert may_send_token(url, is_insecure_allowed=True) is if_told


@pytest.mark.parametrize(
    ("name", "address"),
    [
        (("127.0.0.1", 7234), "127.0.0.1:7234"),
        (("::ffff:127.0.0.1", 7234, 0, 0), "127.0.0.1:7234"),
        (("::1", 7234, 0, 0), "::1:7234"),
        (("fe80::1%eth0", 7234, 0, 2), "fe80::1:7234"),
    ],
)
def test_both_ends_spell_an_address_alike(name: tuple[object, ...], address: str) -> None:
    assert address_of(name) == address


def test_a_proof_is_this_hmac() -> None:
    # printf 'stigmer: a server proves that it holds the token; 1\n00\n127.0.0.1:7234\n12' |
    # openssl dgst -sha256 -hmac t
    expected = "3038d56f2fd9577189c8a973627180d94ab0c6873f5cc7fb2324f2f0dadf8969"
    assert proof_of("t", nonce="00", address=ADDRESS, pid=12) == expected


def _body(**changes: object) -> bytes:
    return json.dumps({"pid": 12, "proof": "00", **changes}).encode()


def _http(body: bytes, status: str = "200 OK", length: int | None = None) -> bytes:
    size = len(body) if length is None else length
    return b"HTTP/1.1 %b\r\nContent-Length: %d\r\n\r\n%b" % (status.encode(), size, body)


@pytest.mark.parametrize(
    "answer",
    [
        _http(_body(), status="302 Found"),
        _http(_body(), status="401 Unauthorized"),
        _http(_body(), status="404 Not Found"),
        _http(_body(), length=3),
        _http(_body(pid="12")),
        _http(_body(proof=None)),
        _http(b"[]"),
        _http(b"no JSON"),
        b"HTTP/1.1 200 OK\r\n\r\n" + _body(),
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"x" * (ANSWER_MAX + 1),
    ],
)
def test_any_other_answer_is_not_the_server(answer: bytes) -> None:
    with pytest.raises((ValueError, TypeError)):
        Challenge(host="localhost:7234", address=ADDRESS).read_answer(answer)


def test_an_answer_may_come_in_pieces() -> None:
    challenge, answer = Challenge(host="localhost:7234", address=ADDRESS), _http(_body())
    assert all(challenge.read_answer(answer[:size]) is None for size in range(len(answer)))
    assert challenge.read_answer(answer) is not None


async def _proven(answer_of: str, *, address: str = ADDRESS, pid: int = 12, nonce: str = "") -> None:
    """Ask at ADDRESS with the token t, and be answered with the proof of what is named."""
    challenge = Challenge(host="localhost:7234", address=ADDRESS)
    proof = proof_of(answer_of, nonce=nonce or challenge.nonce, address=address, pid=pid)
    sent: list[bytes] = []

    async def read() -> bytes:
        return _http(_body(proof=proof))

    async def write(data: bytes) -> None:
        sent.append(data)

    try:
        await prove(challenge, read, write, lambda: "t")
    finally:
        assert sent == [challenge.request], "nothing but the question"


async def test_the_right_proof_is_taken() -> None:
    await _proven("t")


@pytest.mark.parametrize(
    "changes",
    [{"address": "127.0.0.1:7235"}, {"address": "127.0.0.2:7234"}, {"pid": 13}, {"nonce": "00" * 32}],
)
async def test_a_proof_for_another_place_process_or_question_is_worth_nothing(changes: dict[str, object]) -> None:
    with pytest.raises(ServerUnproven):
        await _proven("t", **changes)  # type: ignore[arg-type] # each a parameter of its kind


async def test_a_proof_of_another_token_is_worth_nothing() -> None:
    with pytest.raises(ServerUnproven):
        await _proven("another")


async def test_a_server_that_takes_no_more_requests_is_busy_and_no_stranger() -> None:
    async def read() -> bytes:
        return b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 2\r\n\r\n{}"

    async def write(_data: bytes) -> None:
        pass

    with pytest.raises(ServerBusy, match="takes no more requests just now"):
        await prove(Challenge(host="localhost:7234", address=ADDRESS), read, write, lambda: "t")


async def test_without_a_token_nothing_is_asked() -> None:
    async def never(*_: object) -> bytes:
        raise AssertionError("asked")

    challenge = Challenge(host="localhost:7234", address=ADDRESS)
    with pytest.raises(ServerUnproven, match="no token"):
        await prove(challenge, never, never, lambda: None)  # type: ignore[arg-type] # never called


async def test_a_token_that_is_rotated_meanwhile_is_taken() -> None:
    tokens = iter(["old", "t"])
    challenge = Challenge(host="localhost:7234", address=ADDRESS)

    async def read() -> bytes:
        return _http(_body(proof=proof_of("t", nonce=challenge.nonce, address=ADDRESS, pid=12)))

    async def write(data: bytes) -> None:
        assert data == challenge.request

    await prove(challenge, read, write, lambda: next(tokens))


def test_no_two_questions_are_alike() -> None:
    assert len({Challenge(host="localhost:7234", address=ADDRESS).nonce for _ in range(100)}) == 100
