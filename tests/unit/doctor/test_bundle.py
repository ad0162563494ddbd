"""The archive for a bug report: all that is known, no secret wherever it was planted, and nobody's file overwritten."""

import io
import json
import stat
import sys
import tarfile
import zipfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import jsonschema  # type: ignore[import-untyped] # its stubs are not installed
import pytest

from stigmer_cli.clock import SystemClock
from stigmer_cli.doctor.archive import ArchiveEntry, check_target, write_archive
from stigmer_cli.doctor.bundle import LOG_BYTES_MAX, BundleContext, collect_entries, end_of_log
from stigmer_cli.doctor.facts.collect import collect_facts
from stigmer_cli.errors import ConfigError, MachineError
from stigmer_cli.settings import Home, load
from tests.support.temporal_server import free_port
from tests.unit.doctor.report_samples import REPAIRED
from tests.unit.doctor.test_report import SCHEMA

AT = datetime(2026, 5, 4, 12, 3, 10, tzinfo=UTC)
ENTRIES = (
    ArchiveEntry(name="doctor.json", content=b"{}\n", about="what doctor found"),
    ArchiveEntry(name="logs/server.log", content=b"a line\n", about="the last 1 lines"),
)
NAMES = [
    "versions.json", "doctor.json", "status.json", "health.json", "config.json", "metrics.txt",
    "logs/supervisor.log", "logs/temporal.log", "logs/server.log", "logs/runner.log",
]  # fmt: skip

# -- the file


@pytest.mark.parametrize("name", ["b.tar.gz", "b.tgz", "b.zip", "B.ZIP"])
def test_an_archive_is_for_its_owner_only_and_unpacks_into_one_folder(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    size = write_archive(path, ENTRIES, at=AT)
    assert (size, stat.S_IMODE(path.stat().st_mode)) == (path.stat().st_size, 0o600)
    assert unpacked(path) == {"stigmer-bundle/doctor.json": b"{}\n", "stigmer-bundle/logs/server.log": b"a line\n"}
    assert list(tmp_path.iterdir()) == [path], "no draft is left"


def test_who_wrote_it_is_not_in_it(tmp_path: Path) -> None:
    path = tmp_path / "b.tar.gz"
    write_archive(path, ENTRIES, at=AT)
    with tarfile.open(path) as archive:
        assert {(one.uid, one.gid, one.uname, one.gname, one.mtime) for one in archive} == {(0, 0, "", "", 1777896190)}


@pytest.mark.parametrize("is_link", [False, True])
def test_what_is_there_already_is_not_overwritten(tmp_path: Path, *, is_link: bool) -> None:
    path = tmp_path / "b.tar.gz"
    path.symlink_to(tmp_path / "nowhere") if is_link else path.write_text("mine")
    with pytest.raises(ConfigError, match="is there already, and is not overwritten") as refused:
        write_archive(path, ENTRIES, at=AT)
    assert refused.value.hint == "choose another name, or remove it"
    assert path.is_symlink() if is_link else path.read_text() == "mine"


@pytest.mark.parametrize("name", ["b.tar", "b", ".zip", "b.gz"])
def test_another_kind_of_archive_is_refused_with_a_name_that_would_do(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=r"is none of \.tar\.gz, \.tgz, \.zip") as refused:
        check_target(tmp_path / name)
    assert refused.value.hint == f"--bundle {name}.tar.gz"


def test_a_missing_folder_is_reported_with_the_command_that_creates_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no folder") as refused:
        check_target(tmp_path / "new" / "b.zip")
    assert refused.value.hint == f"mkdir -p {tmp_path / 'new'}"


@pytest.mark.skipif(sys.platform != "linux", reason="there is no folder that root may not write to")
def test_a_folder_that_accepts_no_files_is_reported() -> None:
    with pytest.raises(MachineError, match=r"cannot write /proc/b\.zip: "):
        write_archive(Path("/proc/b.zip"), ENTRIES, at=AT)


# -- what is in it

SECRETS = {
    "OPENAI_API_KEY": "sk-of-the-environment-42",
    "STIGMER_TOKEN": "token-of-the-environment",
    "STIGMER_DATABASE_URL": "postgresql://ada:p%40ss-of-the-url@db.example/stigmer",
    "PGPASSWORD": "password-of-postgres",
    "GITHUB_TOKEN": "some-forge-token",
}
PLANTED = (
    '{"event": "dialling", "headers": {"Authorization": "Bearer another-token-1"}, "token": "rotated-token-1"}',
    "Authorization: Bearer another-token-2",
    "config: OPENAI_API_KEY=unknown-key-3 STIGMER_TOKEN=token-of-the-environment",
    "connecting to postgresql://bob:another-password-4@db/x (password 'p@ss-of-the-url')",
    "Incorrect API key provided: sk-of-somebody-else-55555",
    "token-of-the-file was refused; password-of-postgres and some-forge-token too",
    'openai error {"message": "key sk-of-the-environment-42"}',
)
NEVER = (
    "sk-of-the-environment-42", "token-of-the-environment", "ss-of-the-url", "password-of-postgres", "some-forge-token",
    "another-token-1", "rotated-token-1", "another-token-2", "unknown-key-3", "another-password-4",
    "sk-of-somebody-else-55555", "token-of-the-file", "key-of-the-config",
)  # fmt: skip


async def entries_of(home: Home, environ: Mapping[str, str], user_home: Path) -> dict[str, str]:
    clock = SystemClock()
    quiet = {"STIGMER_HOME": str(home.path), "STIGMER_SERVER_PORT": str(free_port())}
    settings = load({}, {**quiet, **environ}, user_home=user_home)
    around = BundleContext(environ=environ, user_home=user_home)
    found = await collect_entries(collect_facts(settings, clock=clock), REPAIRED, around)
    assert [one.name for one in found] == NAMES
    return {one.name: one.content.decode() for one in found}


async def test_no_secret_gets_into_it_from_settings_environment_files_or_logs(home: Home) -> None:
    home.logs.mkdir()
    home.token_file.write_text("token-of-the-file\n")
    home.config_file.write_text('openai_api_key = "key-of-the-config"\n')
    for part in ("supervisor", "temporal", "server", "runner"):
        (home.logs / f"{part}.log").write_text("\n".join([*PLANTED, f"{home.path}/logs is mine"]) + "\n")
    found = await entries_of(home, SECRETS, home.path.parent)
    whole = "\n".join(found.values())
    assert [secret for secret in NEVER if secret in whole] == []
    assert str(home.path.parent) not in whole
    for part in ("supervisor", "temporal", "server", "runner"):
        lines = found[f"logs/{part}.log"].splitlines()
        assert len(lines) == len(PLANTED) + 1
        assert json.loads(lines[0])["event"] == "dialling", "what is no secret stays"
        assert lines[-1] == "~/home/logs is mine"


async def test_of_a_stack_that_never_ran_it_holds_what_there_is(home: Home) -> None:
    found = await entries_of(home, {}, Path("/home/ada"))
    doctor = json.loads(found["doctor.json"])
    jsonschema.validate(doctor, SCHEMA)
    assert doctor["checks"][0]["message"] == "~/.stigmer is yours and writable"
    assert json.loads(found["status.json"])["state"] == "stopped"
    assert json.loads(found["health.json"])["unknown"] == "connection refused"
    assert json.loads(found["versions.json"])["packages"]["stigmer-cli"] is not None
    assert found["metrics.txt"] == "# not available: connection refused\n"
    assert found["logs/server.log"] == ""


async def test_settings_are_listed_with_their_source_and_secrets_as_set(home: Home) -> None:
    environ = {**SECRETS, "STIGMER_TEMPORAL_PORT": "7999"}
    items = json.loads((await entries_of(home, environ, Path("/home/ada")))["config.json"])["settings"]
    told = {one["name"]: (one["value"], one["source"]) for one in items}
    assert told["temporal_port"] == ("7999", "environment")
    assert told["token"] == ("(set)", "environment")
    assert told["database_url"] == ("postgresql://ada:[redacted]@db.example/stigmer", "environment")
    assert told["log_level"] == ("info", "default")


# -- the end of a log


def test_the_last_lines_of_a_log_also_from_before_a_rotation(tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    (tmp_path / "server.log.1").write_text("".join(f"old {number}\n" for number in range(600)))
    log.write_text("new 0\nnew 1\n")
    lines = end_of_log(log).splitlines()
    assert (len(lines), lines[0], lines[-1]) == (500, "old 102", "new 1")


def test_a_log_is_cut_at_whole_lines_for_half_a_line_may_hold_half_a_secret(tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    log.write_text("x" * LOG_BYTES_MAX + " Bearer half-of-a-secret\n" + "kept\n")
    assert end_of_log(log) == "kept\n"
    log.write_text("x" * (LOG_BYTES_MAX - 6) + "\n" + "kept\n")
    assert end_of_log(log).count("\n") == 2
    log.write_text("x" * (2 * LOG_BYTES_MAX))
    assert end_of_log(log) == ""


def test_a_log_that_is_not_there_is_empty(tmp_path: Path) -> None:
    assert end_of_log(tmp_path / "server.log") == ""


def unpacked(path: Path) -> dict[str, bytes]:
    content = io.BytesIO(path.read_bytes())
    if path.name.lower().endswith(".zip"):
        with zipfile.ZipFile(content) as archive:
            return {name: archive.read(name) for name in archive.namelist()}
    with tarfile.open(fileobj=content) as tar:
        return {one.name: found.read() for one in tar if (found := tar.extractfile(one)) is not None}
