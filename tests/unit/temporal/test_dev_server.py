"""The dev server's command line, and the copy before another version opens its file."""

from pathlib import Path

import pytest

from stigmer_cli.errors import MachineError
from stigmer_cli.temporal import dev_server
from stigmer_cli.temporal.dev_server import HttpEndpoints, dev_server_argv, find_binary, prepare_file

BINARY = Path("/opt/temporal")


def test_the_command_line_with_a_file_and_the_ui() -> None:
    http_endpoints = HttpEndpoints(source="127.4.5.6", ui_port=8233, http_port=7243, metrics_port=9000)
    argv = dev_server_argv(
        binary=BINARY, port=7233, http_endpoints=http_endpoints, file=Path("/h/t.db"), namespace="default"
    )
    assert " ".join(argv) == (
        "/opt/temporal server start-dev --ip 127.0.0.1 --port 7233 --ui-ip 127.4.5.6 --ui-port 8233 "
        "--ui-public-path /ui --ui-disable-news-fetch --http-port 7243 --metrics-port 9000 "
        "--db-filename /h/t.db --sqlite-pragma journal_mode=WAL --sqlite-pragma synchronous=full "
        '--dynamic-config-value frontend.httpAllowedHosts=["disabled.invalid"] '
        '--dynamic-config-value matching.longPollExpirationInterval="4s" '
        '--dynamic-config-value history.timerProcessorMaxTimeShift="100ms" '
        "--env-file /dev/null --log-format json --log-level warn"
    )


def test_the_command_line_in_memory_without_ui_in_another_namespace() -> None:
    argv = dev_server_argv(binary=BINARY, port=17, file=None, namespace="shop")
    assert " ".join(argv) == (
        "/opt/temporal server start-dev --ip 127.0.0.1 --port 17 --headless --namespace shop "
        '--dynamic-config-value frontend.httpAllowedHosts=["disabled.invalid"] '
        '--dynamic-config-value matching.longPollExpirationInterval="4s" '
        '--dynamic-config-value history.timerProcessorMaxTimeShift="100ms" '
        "--env-file /dev/null --log-format json --log-level warn"
    )


def test_a_named_binary_that_cannot_run_is_an_error_with_a_way_out(tmp_path: Path) -> None:
    with pytest.raises(MachineError, match="is not a file that can be run") as caught:
        find_binary(str(tmp_path / "nothing"))
    assert caught.value.hint == "unset STIGMER_TEMPORAL_BINARY to use the one installed with Stigmer"


def test_the_installed_binary_is_found_without_a_name() -> None:
    assert find_binary(None).name == "temporal"


def fake_binary(folder: Path, version: str) -> Path:
    binary = folder / "temporal"
    binary.write_text(f"#!/bin/sh\necho 'temporal version {version}'\n")
    binary.chmod(0o755)
    return binary


def test_a_file_is_copied_once_when_another_version_is_about_to_open_it(tmp_path: Path) -> None:
    file, backups = tmp_path / "data" / "temporal.db", tmp_path / "backups"
    prepare_file(file, fake_binary(tmp_path, "1.8.0"), backups)
    assert not backups.exists()
    file.write_text("main")
    file.with_name("temporal.db-wal").write_text("wal")
    prepare_file(file, fake_binary(tmp_path, "1.8.0"), backups)
    assert not backups.exists()
    for _ in range(2):
        prepare_file(file, fake_binary(tmp_path, "1.9.1"), backups)
    assert {path.name: path.read_text() for path in backups.iterdir()} == {
        "temporal.db.temporal-version-1.8.0": "main",
        "temporal.db.temporal-version-1.8.0-wal": "wal",
    }
    assert file.read_text() == "main"


def test_a_file_without_a_stamp_is_copied_and_no_copy_is_ever_overwritten(tmp_path: Path) -> None:
    file, backups = tmp_path / "temporal.db", tmp_path / "backups"
    for content in ("one", "two"):
        file.write_text(content)
        prepare_file(file, fake_binary(tmp_path, "1.9.1"), backups)
        file.with_name("temporal.db.version").unlink()
    assert {path.name: path.read_text() for path in backups.iterdir()} == {
        "temporal.db.unknown-version": "one",
        "temporal.db.unknown-version.2": "two",
    }


def test_a_binary_is_asked_for_its_version_once_and_again_when_it_was_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, binary = tmp_path / "temporal.db", tmp_path / "temporal"
    asked: list[str] = []

    def ask(binary: Path, _environ: object) -> str:
        asked.append(binary.read_text()[4:])
        return f"temporal version {asked[-1]}"

    monkeypatch.setattr(dev_server, "binary_version", ask)
    for version in ("1.8.0", "1.8.0", "1.9.1"):
        draft = tmp_path / "draft"
        draft.write_bytes(b"\x7fELF" + version.encode())
        draft.replace(binary)
        for _ in range(2):
            prepare_file(file, binary, tmp_path / "backups")
        file.write_text("main")
    assert asked == ["1.8.0", "1.8.0", "1.9.1"]
    assert [path.name for path in (tmp_path / "backups").iterdir()] == ["temporal.db.temporal-version-1.8.0"]


def test_a_script_in_front_of_the_binary_is_asked_each_time(tmp_path: Path) -> None:
    file, installed = tmp_path / "temporal.db", tmp_path / "installed"
    shim = tmp_path / "temporal"
    shim.write_text(f"#!/bin/sh\necho temporal version $(cat {installed})\n")
    shim.chmod(0o755)
    for version in ("1.8.0", "1.9.1"):
        installed.write_text(version)
        prepare_file(file, shim, tmp_path / "backups")
        file.write_text("main")
    assert [path.name for path in (tmp_path / "backups").iterdir()] == ["temporal.db.temporal-version-1.8.0"]


def test_a_binary_that_a_busy_machine_holds_up_is_not_called_broken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dev_server, "VERSION_MAX_S", 0.2)
    binary = tmp_path / "temporal"
    binary.write_text("#!/bin/sh\nexec sleep 10\n")
    binary.chmod(0o755)
    with pytest.raises(MachineError, match=r"--version has not answered for 0.2s: the machine is busy") as caught:
        prepare_file(tmp_path / "t.db", binary, tmp_path)
    assert caught.value.hint == "stigmer up"


def test_a_binary_that_does_not_run_says_so(tmp_path: Path) -> None:
    binary = tmp_path / "temporal"
    binary.write_text("#!/bin/sh\necho no new OS thread >&2\necho ulimit -u >&2\nexit 3\n")
    binary.chmod(0o755)
    with pytest.raises(MachineError, match="--version does not run: exit status 3; no new OS thread; ulimit -u"):
        prepare_file(tmp_path / "t.db", binary, tmp_path)
