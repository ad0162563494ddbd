"""Settings: layers, refusals, and the environment for children."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stigmer_cli.errors import ConfigError
from stigmer_cli.settings import (
    OPTIONS,
    Home,
    LogLevel,
    OnExhausted,
    ReconcileMode,
    Settings,
    Source,
    SubmitPolicy,
    load,
)

NOBODY = Path("/home/nobody")


def _home_with(tmp_path: Path, text: str) -> dict[str, str]:
    (tmp_path / "config.toml").write_text(text)
    return {"STIGMER_HOME": str(tmp_path)}


def test_without_any_layer_the_defaults_of_the_manual_stand() -> None:
    settings = load({}, {}, user_home=NOBODY)
    assert settings.home.path == Path("/home/nobody/.stigmer")
    assert settings.server_target == "http://127.0.0.1:7234"
    assert settings.temporal_target == "127.0.0.1:7233"
    assert settings.ui_port is None
    assert settings.database_target == "sqlite:////home/nobody/.stigmer/data/stigmer.db"
    assert settings.submit_policy is SubmitPolicy.QUEUE
    assert settings.reconcile is ReconcileMode.AUTO
    assert settings.runs_own_temporal


def test_flag_wins_over_environment_over_file_over_default(tmp_path: Path) -> None:
    environ = _home_with(tmp_path, 'server_port = 1001\nui_port = 1002\ntemporal_port = 1003\nlog_level = "debug"\n')
    environ |= {"STIGMER_SERVER_PORT": "2001", "STIGMER_UI_PORT": "2002"}
    settings = load({"server_port": "3001", "ui_port": None}, environ, user_home=NOBODY)
    assert (settings.server_port, settings.ui_port, settings.temporal_port) == (3001, 2002, 1003)
    assert settings.log_level is LogLevel.DEBUG
    assert settings.sources["server_port"] is Source.FLAG
    assert settings.sources["ui_port"] is Source.ENVIRONMENT
    assert settings.sources["temporal_port"] is Source.FILE
    assert settings.sources["token"] is Source.DEFAULT


@pytest.mark.parametrize(
    ("environ", "sentence"),
    [
        ({"STIGMER_SERVER_PORT": "70000"}, "STIGMER_SERVER_PORT: 70000 is not a port: 1 to 65535"),
        ({"STIGMER_SERVER_PORT": "http"}, "STIGMER_SERVER_PORT: 'http' is not a port number"),
        ({"STIGMER_TEMPORAL_ADDRESS": "7233"}, "STIGMER_TEMPORAL_ADDRESS: '7233' is not HOST:PORT"),
        (
            {"STIGMER_MODEL_SILENT_FOR": "long"},
            "STIGMER_MODEL_SILENT_FOR: 'long' is not a span of time: write 90s, 10m, 1h30m or 2d",
        ),
        ({"STIGMER_MODEL_SILENT_FOR": "0"}, "STIGMER_MODEL_SILENT_FOR: '0' is not a span of time from 1s to 1d"),
        *(
            (
                {"STIGMER_WORKFLOW_TASKS_MAX": text},
                f"STIGMER_WORKFLOW_TASKS_MAX: '{text}' is not a whole number from 1 to 1,000,000",
            )
            for text in ("0", "many", "1000001", "1e3", "9" * 5_000)
        ),
        ({"STIGMER_SUBMIT_POLICY": "maybe"}, "STIGMER_SUBMIT_POLICY: 'maybe' is none of queue, fail-fast"),
        (
            {"STIGMER_LISTEN": "0.0.0.0:80"},
            "STIGMER_LISTEN: '0.0.0.0:80' is not an IP address (the port is STIGMER_SERVER_PORT)",
        ),
        ({"OPENAI_BASE_URL": "http://h:0/v1"}, "OPENAI_BASE_URL: 'http://h:0/v1' names no host, or port 0"),
        ({"OPENAI_BASE_URL": "http://[::1"}, "OPENAI_BASE_URL: 'http://[::1' is no URL: Invalid IPv6 URL"),
        ({"STIGMER_SERVER_URL": "localhost"}, "STIGMER_SERVER_URL: 'localhost' is not an http:// or https:// URL"),
    ],
)
def test_a_wrong_value_names_its_layer(environ: dict[str, str], sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load({}, environ, user_home=NOBODY)
    assert caught.value.message == sentence
    assert caught.value.exit_code == 2


def test_a_wrong_database_url_does_not_show_its_password() -> None:
    with pytest.raises(ConfigError) as caught:
        load({}, {"STIGMER_DATABASE_URL": "mysql://me:hunter2@db/x"}, user_home=NOBODY)
    assert "hunter2" not in caught.value.message


@pytest.mark.parametrize(
    ("variable", "value", "told"),
    [
        (
            "STIGMER_SERVER_URL",
            "https://me:hunter22@host",
            "'https://me:[redacted]@host' names a user; the token (STIGMER_TOKEN) says who asks",
        ),
        (
            "STIGMER_SERVER_URL",
            "https://hunter22@host",
            "'https://[redacted]@host' names a user; the token (STIGMER_TOKEN) says who asks",
        ),
        (
            "STIGMER_SERVER_URL",
            "ftp://me:hunter22@host",
            "'ftp://me:[redacted]@host' is not an http:// or https:// URL",
        ),
        ("OPENAI_BASE_URL", "http://me:hunter22@host:0", "'http://me:[redacted]@host:0' names no host, or port 0"),
        ("OPENAI_BASE_URL", "http://me:hunter/22@host:80", "'http://me:[redacted]@host:80' is no URL"),
        ("STIGMER_TEMPORAL_ADDRESS", "me:hunter22@host:7233", "'host:7233' takes no user and no password before it"),
    ],
)
def test_a_password_in_an_address_is_in_no_error(variable: str, value: str, told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load({}, {variable: value}, user_home=NOBODY)
    assert caught.value.message == f"{variable}: {told}"


def test_an_unknown_key_in_the_file_names_its_nearest_match(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no setting 'sever_port'; did you mean server_port"):
        load({}, _home_with(tmp_path, "sever_port = 1\n"), user_home=NOBODY)


def test_an_unknown_variable_is_a_warning_with_its_nearest_match() -> None:
    settings = load({}, {"STIGMER_SUBMIT_POLICIES": "queue"}, user_home=NOBODY)
    assert settings.warnings == ("unknown variable STIGMER_SUBMIT_POLICIES; did you mean STIGMER_SUBMIT_POLICY?",)


def test_an_empty_database_variable_is_warned_about_and_the_settings_of_a_part_are_settled(home: Home) -> None:
    environ = {"STIGMER_HOME": str(home.path), "STIGMER_DATABASE_URL": ""}
    settings = load({}, environ, user_home=Path("/nowhere"))
    assert settings.warnings == ("variable STIGMER_DATABASE_URL is empty; it counts as not set",)
    assert settings.database_url is None

    child = settings.environment_in({"PATH": "/bin", "STIGMER_TEMPORAL_ADDRESS": "elsewhere:1", "OPENAI_API_KEY": "k"})
    home.config_file.write_text('temporal_address = "elsewhere:2"\n')
    assert child["PATH"] == "/bin"
    assert not {"STIGMER_TEMPORAL_ADDRESS", "OPENAI_API_KEY"} & set(child)
    assert load({}, child, user_home=Path("/nowhere")).temporal_address is None, "config.toml is not read again"


def test_secrets_are_not_in_the_repr() -> None:
    settings = load({}, {"STIGMER_TOKEN": "s3cret", "OPENAI_API_KEY": "sk-s3cret"}, user_home=NOBODY)
    assert "s3cret" not in repr(settings)


def test_every_option_is_a_field_and_every_field_an_option() -> None:
    fields = set(Settings.__dataclass_fields__) - {"home", "sources", "warnings", "distrust", "proxies"}
    assert fields == {option.name for option in OPTIONS}


_PORTS = st.integers(min_value=1, max_value=65535)
_WORDS = st.text(alphabet="abcdefghij0123456789-", min_size=1, max_size=20)


@given(
    settings=st.builds(
        Settings,
        home=st.just(Home(path=Path("/somewhere/else"))),
        server_url=st.none() | st.just("https://example.invalid"),
        server_port=_PORTS,
        allowed_hosts=st.none() | st.just("a.example,b.example:443"),
        listen=st.sampled_from(["127.0.0.1", "10.0.0.5", "::1"]),
        tls_cert_file=st.none() | st.just("/run/tls/cert.pem"),
        secrets_key_file=st.none() | st.just("/run/secrets.key"),
        tls_key_file=st.none() | st.just("/run/tls/key.pem"),
        behind_proxy=st.booleans(),
        server_ca_file=st.none() | st.just("/run/tls/ca.pem"),
        temporal_address=st.none() | _PORTS.map(lambda port: f"temporal.invalid:{port}"),
        temporal_namespace=_WORDS,
        temporal_tls=st.none() | st.booleans(),
        temporal_ca_file=st.none() | st.just("/run/temporal/ca.pem"),
        temporal_cert_file=st.none() | st.just("/run/temporal/cert.pem"),
        temporal_key_file=st.none() | st.just("/run/temporal/key.pem"),
        temporal_server_name=st.none() | st.just("temporal.internal"),
        temporal_api_key_file=st.none() | st.just("/run/secrets/temporal"),
        temporal_port=_PORTS,
        ui_port=st.none() | _PORTS,
        ui_address=st.none() | st.just("127.4.5.6:8233"),
        database_url=st.none() | st.just("postgresql://u:p@h/d"),
        submit_policy=st.sampled_from(SubmitPolicy),
        reconcile=st.sampled_from(ReconcileMode),
        token=st.none() | _WORDS,
        log_level=st.sampled_from(LogLevel),
        temporal_binary=st.none() | st.just("/opt/temporal"),
        openai_base_url=st.none() | st.just("http://127.0.0.1:11434/v1"),
        openai_api_key=st.none() | _WORDS,
        model_silent_for=st.sampled_from(["90", "2m", "1h30m"]),
        model_retry_for=st.sampled_from(["0", "90s", "1h30m", "7d"]),
        tool_silent_for=st.sampled_from(["90", "2m", "1h30m"]),
        on_exhausted=st.sampled_from(OnExhausted),
        workflow_tasks_max=st.integers(1, 1_000_000),
        retention=st.none() | st.sampled_from(["1h", "30d", "3650d"]),
        sources=st.just({}),
        warnings=st.just(()),
    )
)
def test_a_child_reads_the_same_settings_from_the_environment_made_for_it(settings: Settings) -> None:
    assert load({}, settings.environment(), user_home=NOBODY) == settings


@pytest.mark.parametrize(
    ("said", "written", "hint"),
    [
        ({"STIGMER_RECONCILE": "never"}, "", "unset STIGMER_RECONCILE"),
        ({}, 'reconcile = "never"', "stigmer config unset reconcile"),
    ],
)
def test_a_wrong_value_is_taken_back_where_it_was_said(
    said: dict[str, str], written: str, hint: str, tmp_path: Path
) -> None:
    (tmp_path / "config.toml").write_text(written)
    with pytest.raises(ConfigError) as caught:
        load({}, {"STIGMER_HOME": str(tmp_path), **said}, user_home=None)
    assert caught.value.hint == hint


def test_a_file_that_an_editor_of_windows_wrote_is_read(tmp_path: Path) -> None:
    environ = _home_with(tmp_path, "\ufeffserver_port = 4321\r\nlog_level = 'debug'\r\n")
    settings = load({}, environ, user_home=NOBODY)
    assert (settings.server_port, settings.log_level) == (4321, LogLevel.DEBUG)
