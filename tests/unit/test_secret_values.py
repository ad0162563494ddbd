"""Values of secrets are taken out of every text that leaves a process, in every spelling, wherever it was cut."""

import json
import logging
import random
import subprocess
import sys
from base64 import b64encode
from urllib.parse import quote, quote_plus, unquote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stigmer_cli.api.problem import problem_of
from stigmer_cli.errors import OperationFailed
from stigmer_cli.secret_values import (
    DELIVERED,
    GONE,
    ISSUED_MAX,
    RedactedStream,
    SecretValues,
    hide_url_secrets,
    redact_sentence,
)
from stigmer_cli.workflow.error import ErrorType, make_error
from tests.support.canaries import CANARIES, leaked_in


def values(*known: str) -> SecretValues:
    found = SecretValues()
    for one in known:
        found.remember(one)
    return found


@pytest.mark.parametrize("canary", CANARIES)
def test_a_value_is_gone_in_every_spelling(canary: str) -> None:
    known = values(canary)
    for spelling in (
        canary,
        json.dumps(canary),
        json.dumps(canary, ensure_ascii=False),
        json.dumps(json.dumps(canary)),
        repr(canary),
        quote(canary, safe=""),
        f"Basic {b64encode(canary.encode()).decode()}",
    ):
        text = known.redact(f"before {spelling} after")
        assert GONE in text
        assert text.startswith("before ")
        assert text.endswith(" after")
        assert leaked_in(text) == []


def test_each_line_of_a_value_is_gone_by_itself() -> None:
    assert values("first-line\nsecond-line").redact("a second-line b") == f"a {GONE} b"


def test_what_is_secret_in_a_json_document_is_gone_by_itself_and_the_rest_stays() -> None:
    document = json.dumps({"type": "service", "auth": [{"password": "foobar", "user": "john-doe"}], "n": 1}, indent=2)
    known = values(document, "{not json")
    assert known.redact("password: foobar, user: john-doe {") == f"password: {GONE}, user: john-doe {{"
    assert known.redact(f"x {document} y") == f"x {GONE} y"


def test_a_value_that_holds_another_one_goes_whole_and_a_short_one_stays() -> None:
    assert values("secret", "secret-and-more", "short").redact("secret-and-more secret short") == f"{GONE} {GONE} short"


def test_only_so_many_tokens_are_kept_and_none_drives_out_what_a_person_has_set() -> None:
    known = values("value-of-old", "value-00001")
    for number in range(ISSUED_MAX + 2):
        known.remember_issued(f"value-{number:05}")
    known.remember("value-of-new")
    text = "value-of-old value-00000 value-00001 value-00002 value-of-new"
    assert known.redact(text) == f"{GONE} value-00000 {GONE} {GONE} {GONE}"


def test_what_is_issued_first_and_set_later_is_kept() -> None:
    known = values()
    known.remember_issued("value-of-both")
    known.remember("value-of-both")
    for number in range(ISSUED_MAX):
        known.remember_issued(f"value-{number:05}")
    assert known.redact("value-of-both") == GONE


@given(data=st.data())
def test_a_stream_tells_the_same_wherever_it_is_cut(data: st.DataObject) -> None:
    secret = "abcabcabd"
    text = data.draw(st.text("abcd", max_size=60)) + data.draw(st.sampled_from(["", secret, secret + "ab"]))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8)))
    known = values(secret)
    stream = RedactedStream(known)
    told = "".join(stream.feed(text[a:b]) for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True))
    assert secret not in told
    assert told + stream.close() == known.redact(text)


def test_a_stream_holds_back_only_what_may_be_a_value() -> None:
    stream = RedactedStream(values("abcdefgh"))
    assert [stream.feed(piece) for piece in ("xyz", "abc", "dxx", "abcdefgh", "a")] == ["xyz", "", "abcdxx", GONE, ""]
    assert stream.close() == "a"
    assert RedactedStream(values()).feed("anything") == "anything"


def test_a_stream_of_single_characters_holds_no_canary() -> None:
    known, rng = values(*CANARIES), random.Random(3)
    text = " ".join(rng.sample(CANARIES, len(CANARIES)))
    stream = RedactedStream(known)
    told = "".join(map(stream.feed, text)) + stream.close()
    assert leaked_in(told) == []
    assert told.count(GONE) >= len(CANARIES)


LOGGING = """
import logging, sys, threading
import structlog
from stigmer_cli import log
from stigmer_cli.secret_values import DELIVERED
from stigmer_cli.settings import LogLevel
from tests.support.canaries import CANARIES

log.configure("runner", LogLevel.DEBUG)
for canary in CANARIES:
    DELIVERED.remember(canary)
def fail(canary):
    raise RuntimeError(f"could not use {canary}")
for canary in CANARIES:
    structlog.get_logger().info("started", command=["tool", canary], env={"KEY": canary}, text=f"x{canary}y")
    logging.getLogger("some.library").warning("refused %s", canary)
    try:
        fail(canary)
    except RuntimeError:
        structlog.get_logger().exception("failed")
        logging.getLogger("some.library").exception("failed with %r", canary)
    thread = threading.Thread(target=fail, args=(canary,))
    thread.start()
    thread.join()
fail(CANARIES[int(sys.argv[1])])
"""


def test_no_canary_is_in_a_log_line_a_traceback_or_what_ends_a_process() -> None:
    done = subprocess.run([sys.executable, "-c", LOGGING, "3"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert leaked_in(done.stderr) == []
    lines = done.stderr.splitlines()
    assert sum(line.startswith("{") for line in lines) == 4 * len(CANARIES)
    for line in lines:
        if line.startswith("{"):
            json.loads(line)
    assert lines[-1] == f"RuntimeError: could not use {GONE}"
    assert logging.getLogger().level == logging.WARNING


def test_no_canary_is_in_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stigmer_cli.secret_values.DELIVERED", values(*CANARIES))
    for canary in CANARIES:
        assert leaked_in(problem_of(OperationFailed(f"cannot use {canary} here")).model_dump_json()) == []


def test_a_value_within_what_is_encoded_in_base64_or_in_a_url_is_gone() -> None:
    known = values(*CANARIES)
    for canary in CANARIES:
        for user in ("", "u", "us", "use"):
            header = b64encode(f"{user}:{canary}".encode()).decode()
            assert GONE in known.redact(f"Authorization: Basic {header}"), (user, canary)
        for written in (quote(canary, safe="").lower(), quote(canary), quote_plus(canary)):
            assert canary not in unquote_plus(known.redact(f"https://h/?q={written}")), canary


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@given(JSON, st.text("123456789", min_size=6, max_size=9))
def test_json_stays_json_whatever_the_value_looks_like(document: object, value: str) -> None:
    known = values(value, "a secret word")
    text = json.dumps({"told": document, "code": int(value), "in text": f"it is {value}", "word": "a secret word"})
    told = json.loads(known.redact_json(text))
    assert value not in json.dumps(told)
    assert (told["code"], told["in text"], told["word"]) == (GONE, f"it is {GONE}", GONE)


def test_json_without_a_value_is_left_as_it_is() -> None:
    text = '{"b": 1.0,  "a": "\\u00e4"}'
    assert values("123456").redact_json(text) == text


def test_of_a_report_only_what_somebody_said_is_looked_through() -> None:
    known = values("123456")
    text = json.dumps({"nonce": "0123456789abcdef", "tookS": 0.123456, "end": {"result": '"123456"'}})
    told = json.loads(known.redact_report(text, ours={"nonce"}))
    assert told == {"nonce": "0123456789abcdef", "tookS": 0.123456, "end": {"result": f'"{GONE}"'}}


def test_a_value_that_is_remembered_again_is_the_newest() -> None:
    values = SecretValues()
    values.remember("static-secret")
    for number in range(2_000):
        values.remember(f"token-{number:06}")
        if number % 500 == 0:
            values.remember("static-secret")
    assert values.redact("static-secret") == "[redacted]"


def test_a_secret_at_the_place_where_the_detail_of_an_error_is_cut_is_gone() -> None:
    DELIVERED.remember("cut-in-two-4711")
    detail = make_error(ErrorType.RUNTIME, "x" * 1_993 + "cut-in-two-4711").fields["detail"]
    assert "cut-in" not in str(detail)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("GET http://me:hunter22@host/a?b=c: 404", f"GET http://me:{GONE}@host/a?b=c: 404"),
        ("amqp://me:hunt@er/22@host:5672/x", f"amqp://me:{GONE}@host:5672/x"),
        ("https://ghp-hunter22@host/x.git", f"https://{GONE}@host/x.git"),
        ("postgresql://me@host/x", "postgresql://me@host/x"),
        (
            "http://host:8080/@scope/a@1.2 and http://[::1]:80/a@b",
            "http://host:8080/@scope/a@1.2 and http://[::1]:80/a@b",
        ),
        ("write to me@host, see http://host/x", "write to me@host, see http://host/x"),
    ],
)
def test_the_password_of_a_url_is_shown_in_no_sentence(text: str, shown: str) -> None:
    assert redact_sentence(text) == shown
    assert problem_of(OperationFailed(text)).detail == shown
    assert shown in str(make_error(ErrorType.COMMUNICATION, text))
    assert hide_url_secrets(shown) == shown


def test_a_url_in_data_stays_as_it_is() -> None:
    assert DELIVERED.redact("http://me:hunter22@host") == "http://me:hunter22@host"
