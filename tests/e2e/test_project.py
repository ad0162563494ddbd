"""A project with a stack of its own, as a newcomer meets it: the lines that `init` prints are pasted as they are."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.support.installed import Stigmer, installed
from tests.support.polling import wait_until


class Project(Stigmer):
    """The command line in the directory of a project, without a variable that names a home or a port."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory / ".stigmer")
        self.directory = directory
        self.pasted: list[subprocess.CompletedProcess[str]] = []
        self.environment = {
            **{name: value for name, value in self.environment.items() if not name.startswith("STIGMER_")},
            "HOME": str(directory.parent),
            "PATH": f"{Path(self.command).parent}:/usr/bin:/bin",
        }

    def shell(self, line: str, *, below: str = "") -> "subprocess.CompletedProcess[str]":
        """What a shell prints for `line`, in the directory `below` the project's."""
        return subprocess.run(
            ["sh", "-c", line],
            env=self.environment,
            cwd=self.home.parent / below,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project whose `init` was typed and whose next lines were pasted; its stack runs."""
    directory = tmp_path_factory.mktemp("machine") / "demo"
    (directory / "src" / "deep").mkdir(parents=True)
    found = Project(directory)
    with installed(found.home):  # whatever runs in this home is gone at the end
        found.home.rmdir()
        said = found.ok("init")
        lines = [line.strip() for line in said.partition("next:\n")[2].splitlines()]
        assert lines == ["stigmer up", "stigmer apply -f agents/", "stigmer run greeter 'hello'"]
        found.pasted = [found.shell(line) for line in lines]
        yield found
        found("down")


def test_the_next_lines_work_when_they_are_pasted(project: Project) -> None:
    assert [done.returncode for done in project.pasted] == [0, 0, 0], project.pasted
    assert f"home      {project.home}, the home of this project" in project.pasted[0].stdout
    assert "hello" in project.pasted[2].stdout


def test_a_directory_below_uses_the_stack_of_the_project_and_one_beside_does_not(project: Project) -> None:
    below = project.shell("stigmer status", below="src/deep")
    assert (below.returncode, f"home {project.home}, the home of this project" in below.stdout) == (0, True)
    beside = project.shell("stigmer config path", below="..")
    assert beside.stdout == f"{project.home.parent.parent}/.stigmer/config.toml\n"


def test_init_below_the_project_names_it_and_its_way_back_works(project: Project) -> None:
    below = project.home.parent / "src" / "deep"
    made = project.shell("stigmer init", below="src/deep")
    assert made.stderr == (
        f"warning: {below} lies in another project, {project.home.parent}; commands in it have used the stack of that"
        " project until now, and use the one made here from now on\n"
        f"hint: to use the stack of {project.home.parent} again: rm -r {below}/.stigmer\n"
    )
    assert project.shell("stigmer config path", below="src/deep").stdout == f"{below}/.stigmer/config.toml\n"
    assert project.shell(made.stderr.rpartition(": ")[2], below="src/deep").returncode == 0
    assert project.shell("stigmer config path", below="src/deep").stdout == f"{project.home}/config.toml\n"


def test_a_copy_of_the_project_neither_uses_nor_stops_its_stack(project: Project) -> None:
    shutil.copytree(project.home.parent, project.home.parent.parent / "copy", ignore=shutil.ignore_patterns("*.sock"))
    copy = Project(project.home.parent.parent / "copy")
    refused = copy("run", "greeter", "hello")
    assert (refused.returncode, f"it is a copy of {project.home}" in refused.stderr) == (1, True)
    assert "stigmer init" in refused.stderr
    assert copy("status").returncode == 3
    assert copy.ok("down") == "nothing was running\n"
    named = copy.shell(f"STIGMER_HOME={copy.home} stigmer run greeter hello")
    assert (named.returncode, "whose server is not asked" in named.stderr) == (3, True)
    told = copy("init").stderr
    assert "it has ports and a token of its own now" in told
    assert "what was open when it was copied is performed in both" in told
    elsewhere = copy("up", "--temporal-address", "127.0.0.1:9")
    assert (elsewhere.returncode, "hint: leave out --temporal-address" in elsewhere.stderr) == (2, True)
    assert copy("run", "greeter", "hello").returncode == 3
    assert project("status").returncode == 0


def test_up_names_the_next_command_and_restart_the_old_and_the_new_process(project: Project) -> None:
    assert "next:\n  stigmer run greeter 'hello'\n" in project.ok("up")
    before = project.pids()["runner"]
    said = project.ok("restart", "runner")
    now = project.pids()["runner"]
    assert now != before
    assert f"  runner     pid {before} -> {now}\n" in said


def test_the_list_of_stacks_marks_the_one_that_is_used_here_and_all_are_stopped_only_after_a_yes(
    project: Project,
) -> None:
    items = {item["home"]: item for item in project.json("ls")["items"]}
    ours = items[str(project.home)]
    assert (ours["state"], ours["isCurrent"], ours["openExecutions"]) == ("ready", True, 0)
    refused = project("down", "--all")
    assert (refused.returncode, "hint: stigmer down --all --yes" in refused.stderr) == (2, True)
    assert f"{project.home}: ready, open executions: 0" in refused.stderr
    assert project("status").returncode == 0
    assert project("down", "--all", "--purge", "--yes").returncode == 2


def test_a_home_that_is_removed_while_its_stack_runs_stops_it_and_stays_removed(project: Project) -> None:
    """The last test of the file: `git clean -xdf` removes what git ignores."""
    pids = project.pids()
    shutil.rmtree(project.home)
    wait_until(lambda: not any(psutil.pid_exists(pid) for pid in pids.values()), "everything has ended", within_s=20)
    assert not project.home.exists()
    assert project.shell("stigmer config path").stdout == f"{project.home.parents[1]}/.stigmer/config.toml\n"
