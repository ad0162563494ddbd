"""Redaction: known secrets in every spelling, what looks like one, the home as `~`; and sense is left."""

import json
import time
from pathlib import Path

import pytest

from stigmer_cli.doctor.redaction import Redaction, known_secrets
from stigmer_cli.secret_values import GONE
from stigmer_cli.settings import Home, Settings

USER_HOME = Path("/home/ada")
PLAIN = Redaction((), user_home=USER_HOME)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Authorization: Bearer abcdef0123456789", f"Authorization: {GONE}"),
        ("authorization: Basic YWRhOnNlY3JldA==", f"authorization: {GONE}"),
        ('{"Authorization": "Bearer abcdef0123456789", "x": 1}', f'{{"Authorization": "{GONE}", "x": 1}}'),
        (r'"{\"Authorization\": \"Bearer abcdef\", \"x\": 1}"', rf'"{{\"Authorization\": \"{GONE}\", \"x\": 1}}"'),
        ("('authorization', 'Bearer abcdef0123456789')", f"('authorization', '{GONE}')"),
        ("sent bearer abcdef0123456789 to it", f"sent bearer {GONE} to it"),
        ("postgresql://ada:hunter2@db/stigmer", f"postgresql://ada:{GONE}@db/stigmer"),
        ("postgresql://ada:p@ss:w/rd@db:5432/stigmer?x=1", f"postgresql://ada:{GONE}@db:5432/stigmer?x=1"),
        ("postgresql://ada:12/hunter2@db/stigmer", f"postgresql://ada:{GONE}@db/stigmer"),
        (
            "postgresql://db/stigmer?user=ada&password=hunter2&x=1",
            f"postgresql://db/stigmer?user=ada&password={GONE}&x=1",
        ),
        ("OPENAI_API_KEY=hunter2 stigmer work", f"OPENAI_API_KEY={GONE} stigmer work"),
        ("export STIGMER_TOKEN='two words'", f"export STIGMER_TOKEN='{GONE}'"),
        ('{"api_key": "hunter2", "model": "m"}', f'{{"api_key": "{GONE}", "model": "m"}}'),
        ('{"apiKey":"hunter2"}', f'{{"apiKey":"{GONE}"}}'),
        ("x-api-key: hunter2", f"x-api-key: {GONE}"),
        ("token: hunter2", f"token: {GONE}"),
        ("python agent.py --api-key hunter2 --fast", f"python agent.py --api-key {GONE} --fast"),
        ("python agent.py --password=hunter2", f"python agent.py --password={GONE}"),
        ("Incorrect API key provided: sk-proj-abcdefgh12345678", f"Incorrect API key provided: {GONE}"),
        ("ghp_abcdefghijklmnopqrstuvwxyz012345", GONE),
        ("eyJhbGciOiJIUzI1.eyJzdWIiOiIx.SflKxwRJSMeKKF2QT4", GONE),
        ("-----BEGIN PRIVATE KEY-----\nabc\ndef\n-----END PRIVATE KEY-----\nx", f"{GONE}\nx"),
        ("-----BEGIN RSA PRIVATE KEY-----\nabc\ndef", GONE),
        ("Set-Cookie: session=abc", f"Set-Cookie: {GONE}"),
    ],
)
def test_what_looks_like_a_secret_is_taken_out(text: str, shown: str) -> None:
    assert PLAIN.text(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "others may read the token: /srv/stigmer/token has mode 0644",
        "only you may read it (mode 0600)",
        "it refuses the token of this command",
        "http://127.0.0.1:7234 answers (pid 12); stigmer-runner/13@here polls",
        '{"url":"http://127.0.0.1:7234","identity":"stigmer-runner/13@here"}',
        "stigmer_tokens_total 5",
        '{"tokens": 12, "nextTryAt": null}',
        "stigmer/agent-execution/invoke/aex-01m846fc0z17jhdeqme5m4vzjn",
        "export OPENAI_API_KEY && stigmer restart runner",
        "2026-05-04T12:03:11.042Z",
        "/home/adam/x and /home/ada-2/x and /home/ada.old",
    ],
)
def test_what_is_none_stays(text: str) -> None:
    assert PLAIN.text(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("/home/ada/.stigmer is yours", "~/.stigmer is yours"),
        ("cd /home/ada", "cd ~"),
        ('"/home/ada"', '"~"'),
        ("in /home/ada.", "in ~."),
        ("file:///home/ada/x", "file://~/x"),
    ],
)
def test_the_home_is_a_tilde(text: str, shown: str) -> None:
    assert PLAIN.text(text) == shown


def test_a_home_that_is_the_root_replaces_nothing() -> None:
    assert Redaction((), user_home=Path("/")).text("/srv/x and /") == "/srv/x and /"


@pytest.mark.parametrize(
    "spelling",
    ['h"unt ü/2', r"h\"unt ü/2", r"h\"unt \u00fc/2", "h%22unt%20%C3%BC%2F2"],
    ids=["plain", "json", "ascii-json", "url"],
)
def test_a_known_secret_is_taken_out_in_every_spelling(spelling: str) -> None:
    assert Redaction(('h"unt ü/2',), user_home=USER_HOME).text(f"a {spelling} b") == f"a {GONE} b"


def test_a_secret_that_holds_another_one_is_taken_out_whole() -> None:
    redaction = Redaction(("secret", "secret-and-more"), user_home=USER_HOME)
    assert redaction.text("secret-and-more, secret") == f"{GONE}, {GONE}"


def test_values_under_the_name_of_a_secret_are_taken_out_and_json_stays_what_it_is() -> None:
    found = {
        "password": "x",
        "apiKey": "a",
        "tokens": 3,
        "token": None,
        "secret": "",
        "list": ["Bearer abcdefgh12", 1, True, ("/home/ada/x",)],
        "deep": {"OPENAI_API_KEY": "k", "why": 'said "Authorization: Bearer abcdefgh"'},
    }
    shown = PLAIN.value(found)
    assert shown == {
        "password": GONE,
        "apiKey": GONE,
        "tokens": 3,
        "token": None,
        "secret": "",
        "list": [f"Bearer {GONE}", 1, True, ["~/x"]],
        "deep": {"OPENAI_API_KEY": GONE, "why": f'said "Authorization: {GONE}"'},
    }
    assert json.loads(json.dumps(shown)) == shown


def test_secrets_are_known_from_settings_environment_token_file_and_a_config_that_does_not_parse(home: Home) -> None:
    home.token_file.write_text("of-the-token-file\n")
    home.config_file.write_text(
        'openai_api_key = "of-the-config"  # mine\ndatabase_url = "postgresql://ada:of-the-url@db/x"\nlog_level = [\n'
    )
    key_file = home.path / "cloud.key"
    key_file.write_text("of-the-key-file\n")
    settings = Settings(
        home=home,
        token="of-the-settings",
        database_url="postgresql://a:of%2Dthe%2Ddb@h/x",
        temporal_api_key_file=str(key_file),
    )
    environ = {
        "GITHUB_TOKEN": "of-the-environment",
        "DATABASE_URL": "mysql://u:of-a-url@h/x",
        "SSH_AUTH_SOCK": "/tmp/agent.1",
        "PWD": "/home/ada/project",
        "MY_TOKEN": "short",
        "EDITOR": "vi",
    }
    assert set(known_secrets(settings, environ)) == {
        "of-the-settings",
        "of-the-token-file",
        "of-the-key-file",
        "of-the-config",
        "of-the-environment",
        "of-the-url",
        "of-a-url",
        "of%2Dthe%2Ddb",
    }


def test_without_any_file_there_are_no_secrets(home: Home) -> None:
    assert known_secrets(Settings(home=home), {}) == ()


@pytest.mark.parametrize(
    "text",
    ["x" * 200_000, "-" * 200_000, "a://" * 50_000, "a.b-" * 50_000, "token" * 40_000, "\\" * 200_000, "--a" * 66_000],
    ids=lambda text: text[:5],
)
def test_a_long_text_takes_time_in_proportion_to_its_length(text: str) -> None:
    def took_s(size: int) -> float:
        began = time.process_time()
        Redaction((), user_home=None).text(text[:size])
        return time.process_time() - began

    assert took_s(len(text)) < 40 * max(took_s(len(text) // 10), 0.01)
