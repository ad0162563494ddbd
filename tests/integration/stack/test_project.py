"""`stigmer init`: what it makes, that repeating and completing it are safe, and that ports never clash."""

import asyncio
import shutil
import stat
import subprocess
import tomllib
from pathlib import Path

import pytest

from stigmer_cli.clock import SystemClock
from stigmer_cli.errors import ConfigError, MachineError
from stigmer_cli.project_home import Origin, find_provenance
from stigmer_cli.settings import Home
from stigmer_cli.stack.known_homes import KnownHomes
from stigmer_cli.stack.project import Project, init_project
from stigmer_cli.stack.project_ports import choose_ports

CLOCK = SystemClock()


class Machine:
    """A user's directory, and the homes that this user has made."""

    def __init__(self, root: Path) -> None:
        self.user_home = root / "ada"
        self.user_home.mkdir()
        self.known = KnownHomes({}, user_home=self.user_home)

    async def init(self, directory: Path) -> Project:
        return await init_project(directory, self.known, user_home=self.user_home, clock=CLOCK)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def content_of(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def git(directory: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(directory), *arguments], capture_output=True, text=True, check=True)
    return done.stdout


async def test_init_makes_a_home_that_git_ignores_and_an_agent_and_a_second_changes_nothing(machine: Machine) -> None:
    directory = machine.user_home / "p"
    first = await machine.init(directory)
    assert sorted(content_of(directory)) == [
        ".stigmer/.gitignore",
        ".stigmer/config.toml",
        ".stigmer/home.json",
        "agents/greeter.yaml",
    ]
    assert stat.S_IMODE((directory / ".stigmer").stat().st_mode) == 0o700
    assert (first.agent.path, first.agent.name) == ("agents/", "greeter")
    assert machine.known.read() == [directory / ".stigmer"]
    git(directory, "init", "-q")
    assert git(directory, "status", "--short") == "?? agents/\n"

    before = content_of(directory)
    second = await machine.init(directory)
    assert (second.made, second.ports, content_of(directory)) == ((), first.ports, before)


async def test_a_project_in_another_one_names_it_once(machine: Machine) -> None:
    outer = machine.user_home / "p"
    assert (await machine.init(outer)).left is None
    inner = outer / "packages" / "a"
    assert (await machine.init(inner)).left == outer / ".stigmer"
    assert (await machine.init(inner)).left is None, "it is there already"


async def test_the_home_of_the_user_is_no_project_around_another(machine: Machine) -> None:
    (machine.user_home / ".stigmer").mkdir()
    assert (await machine.init(machine.user_home / "p")).left is None


@pytest.mark.parametrize("left", [[], [".gitignore"], [".gitignore", "config.toml"], ["config.toml", "home.json"]])
async def test_a_killed_init_is_completed_by_the_next(machine: Machine, left: list[str]) -> None:
    directory = machine.user_home / "p"
    whole = await machine.init(directory)
    shutil.rmtree(directory / "agents")
    for file in (directory / ".stigmer").iterdir():
        if file.name not in left:
            file.unlink()
    again = await machine.init(directory)
    assert sorted(content_of(directory)) == [
        ".stigmer/.gitignore",
        ".stigmer/config.toml",
        ".stigmer/home.json",
        "agents/greeter.yaml",
    ]
    assert again.ports == whole.ports
    assert find_provenance(directory / ".stigmer").origin is Origin.OWN


async def test_projects_made_at_once_have_ports_of_their_own_also_while_the_others_are_down(machine: Machine) -> None:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(machine.init(machine.user_home / f"p{number}")) for number in range(6)]
    ports = [port for task in tasks for port in task.result().ports]
    assert len(set(ports)) == 12
    written = tomllib.loads((machine.user_home / "p0" / ".stigmer" / "config.toml").read_text())
    assert tuple(written.values()) == tasks[0].result().ports
    assert not set(choose_ports(machine.known.read())) & set(ports)


async def test_a_copied_project_gets_ports_and_a_token_of_its_own(machine: Machine) -> None:
    original = await machine.init(machine.user_home / "p")
    token = original.home.token_file
    token.write_text("secret\n")
    token.chmod(0o600)
    shutil.copytree(original.directory, machine.user_home / "q")

    copied = await machine.init(machine.user_home / "q")
    assert copied.provenance.made_at == original.home.path
    assert not set(copied.ports) & set(original.ports)
    assert copied.home.token_file.read_text() != "secret\n"
    assert token.read_text() == "secret\n"
    assert (await machine.init(machine.user_home / "q")).made == ()


async def test_a_project_from_another_disk_keeps_its_settings_and_ports(machine: Machine) -> None:
    original = await machine.init(machine.user_home / "p")
    with original.home.config_file.open("a") as file:
        file.write('log_level = "debug"\n')
    shutil.copytree(original.directory, machine.user_home / "q")
    shutil.rmtree(original.directory)
    moved = await machine.init(machine.user_home / "q")
    assert (moved.provenance.origin, moved.ports, moved.made) == (Origin.MOVED, original.ports, ())
    assert 'log_level = "debug"' in moved.home.config_file.read_text()


async def test_init_refuses_a_home_the_users_own_directory_a_file_and_what_is_read_only(machine: Machine) -> None:
    made = await machine.init(machine.user_home / "p")
    with pytest.raises(ConfigError, match="lies in a home"):
        await machine.init(made.home.path / "logs")
    with pytest.raises(ConfigError, match="home of the default stack"):
        await machine.init(machine.user_home)
    (machine.user_home / "f").mkdir()
    (machine.user_home / "f" / ".stigmer").write_text("")
    with pytest.raises(ConfigError, match="is not a folder"):
        await machine.init(machine.user_home / "f")
    made.home.path.chmod(0o777)
    with pytest.raises(MachineError, match="others can write"):
        await machine.init(made.directory)


async def test_manifests_that_are_there_are_kept_and_named(machine: Machine) -> None:
    agents = machine.user_home / "p" / "agents"
    agents.mkdir(parents=True)
    (agents / "chat.yaml").write_text("apiVersion: agentic.stigmer.ai/v1\nkind: Agent\nmetadata:\n  name: chatter\n")
    first = (await machine.init(machine.user_home / "p")).agent
    assert (first.name, first.path, first.is_new) == ("chatter", "agents/", False)
    (agents / "compose.yaml").write_text("services: {}\n")
    assert (await machine.init(machine.user_home / "p")).agent.path == "agents/chat.yaml"
    (agents / "chat.yaml").unlink()
    made = (await machine.init(machine.user_home / "p")).agent
    assert (made.name, made.path, made.is_new) == ("greeter", "agents/greeter.yaml", True)


@pytest.mark.parametrize("is_in_hook", [False, True])
async def test_a_home_in_the_index_of_git_is_warned_about(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, *, is_in_hook: bool
) -> None:
    directory, other = machine.user_home / "p", machine.user_home / "other"
    other.mkdir()
    await machine.init(directory)
    git(directory, "init", "-q")
    git(directory, "add", "-f", ".stigmer/config.toml")
    git(other, "init", "-q")
    if is_in_hook:
        monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    assert (await machine.init(directory)).warnings == (
        f"git tracks files in {directory}/.stigmer, which holds the token: git rm -r --cached {directory}/.stigmer",
    )


async def test_a_home_in_the_index_of_somebody_elses_repository_is_warned_about(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Git looks into none of "dubious ownership", as in a container whose user did not check it out."""
    directory = machine.user_home / "p"
    await machine.init(directory)
    git(directory, "init", "-q")
    git(directory, "add", "-f", ".stigmer/config.toml")
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    with pytest.raises(subprocess.CalledProcessError):
        git(directory, "ls-files")
    assert len((await machine.init(directory)).warnings) == 1


def test_the_list_of_homes_needs_a_place_and_survives_what_others_write_there(tmp_path: Path) -> None:
    nowhere = KnownHomes({}, user_home=None)
    nowhere.remember(Home(path=tmp_path / "p"))
    assert nowhere.read() == []
    known = KnownHomes({"XDG_STATE_HOME": str(tmp_path / "state")}, user_home=None)
    known.remember(Home(path=tmp_path / "p"))
    for number, text in enumerate(("", "[]", '{"path": 7}', '{"path": "relative"}')):
        (tmp_path / "state" / "stigmer" / "homes" / f"{number}.json").write_text(text)
    assert known.read() == [tmp_path / "p"]
    known.forget(tmp_path / "p")
    assert known.read() == []
    assert KnownHomes({"XDG_STATE_HOME": "relative"}, user_home=tmp_path).folder == (
        tmp_path / ".local/state/stigmer/homes"
    )
