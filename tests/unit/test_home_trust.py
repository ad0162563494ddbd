"""Whose home it is, as a pure judgement of what lstat told: owners, modes, links."""

import stat
from pathlib import Path

import pytest

from stigmer_cli.home_trust import Fault, HomeEntry, find_faults

HOME = Path("/home/ada/.stigmer")
ADA, BOB, ROOT = 1000, 1001, 0
NAMES = {ADA: "ada", BOB: "bob", ROOT: "root"}


def entry(name: str = "", uid: int = ADA, mode: int = 0o600, **rest: object) -> HomeEntry:
    """A file of the home; without a name the home itself."""
    kind = stat.S_IFREG if name else stat.S_IFDIR
    return HomeEntry(path=HOME / name, uid=uid, mode=kind | mode, **rest)  # type: ignore[arg-type] # of a test


def folder(mode: int = 0o700, uid: int = ADA, folder_uid: int = ADA) -> HomeEntry:
    return entry(uid=uid, mode=mode, folder_uid=folder_uid)


def found(*entries: HomeEntry, user: int = ADA) -> list[tuple[str, str, str]]:
    return [(one.fault, one.message, one.fix) for one in find_faults(entries, user=user, name_of=NAMES.get)]


def test_a_home_of_ones_own_is_well() -> None:
    assert found(folder(), entry("token"), entry("config.toml", mode=0o644), entry("data", mode=0o700)) == []
    assert found() == [], "there is none yet"


def test_in_a_container_where_all_is_roots_all_is_well() -> None:
    assert found(folder(uid=ROOT), entry("token", uid=ROOT), user=ROOT) == []


def test_a_home_that_others_may_only_read_is_nobody_elses() -> None:
    assert found(folder(mode=0o755), entry("token")) == []


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o702, 0o1777, 0o720])
def test_a_home_that_others_can_write_in_is_refused(mode: int) -> None:
    [(fault, message, fix)] = found(folder(mode=mode))
    assert (fault, fix) == (Fault.WRITABLE, "chmod go-w /home/ada/.stigmer")
    assert message.startswith(f"others can write in /home/ada/.stigmer (mode {mode:04o}): trust nothing")


def test_a_file_that_others_can_write_counts_only_where_they_can_get_at_it() -> None:
    loose = entry("config.toml", mode=0o666)
    assert found(folder(mode=0o700), loose) == []
    assert found(folder(mode=0o755), loose) == [
        (
            "writable",
            "others can write to config.toml in /home/ada/.stigmer",
            "chmod go-w /home/ada/.stigmer/config.toml",
        )
    ]
    assert found(folder(mode=0o710), entry("token", mode=0o602)) == [], "the group enters, and may not write"
    assert found(folder(mode=0o710), entry("token", mode=0o620)) != []


def test_a_home_of_root_is_taken_over() -> None:
    assert found(folder(uid=ROOT)) == [
        (
            "owner",
            "/home/ada/.stigmer belongs to root (uid 0), not to you (uid 1000)",
            'sudo chown -hR "$(id -u)" /home/ada/.stigmer',
        )
    ]


def test_a_home_among_somebody_elses_files_is_left_alone() -> None:
    [(_, _, fix)] = found(folder(uid=BOB, folder_uid=BOB))
    assert fix == "unset STIGMER_HOME"


@pytest.mark.parametrize(("uid", "name"), [(ADA, "ada"), (12345, "'#12345'")])
def test_root_learns_as_which_user_to_run(uid: int, name: str) -> None:
    [(fault, message, fix)] = found(folder(uid=uid), entry("token", uid=uid), user=ROOT)
    assert (fault, fix) == (Fault.OWNER, f"sudo -H -u {name} stigmer up")
    assert message.endswith((f"(uid {uid}), and you are root", f"uid {uid}, and you are root"))


def test_what_root_left_behind_is_named_and_given_back() -> None:
    left = [entry(name, uid=ROOT) for name in ("data/stigmer.db", "logs/server.log", "run/up.lock", "run/stack.json")]
    [(_, message, fix)] = found(folder(), *left)
    assert message == (
        "data/stigmer.db, logs/server.log, run/up.lock and 1 more in /home/ada/.stigmer belong to root (uid 0),"
        " not to you (uid 1000)"
    )
    assert fix == "sudo chown -hR 1000 /home/ada/.stigmer"


def test_a_planted_token_is_replaced_and_a_planted_configuration_is_read_first() -> None:
    [(_, message, fix)] = found(folder(), entry("config.toml", uid=BOB), entry("token", uid=BOB))
    assert message == (
        "config.toml, token in /home/ada/.stigmer belong to bob (uid 1001), not to you (uid 1000);"
        " read config.toml before you take it over"
    )
    assert fix == "sudo chown -hR 1000 /home/ada/.stigmer && stigmer config rotate-token"


def test_a_link_that_somebody_else_made_is_his_wherever_it_leads() -> None:
    [(fault, message, _)] = found(folder(), entry("config.toml", link_uid=BOB))
    assert (fault, message.startswith("config.toml in")) == (Fault.OWNER, True)


def test_a_file_that_is_ours_and_shut_is_opened() -> None:
    assert found(folder(), entry("token", mode=0o000, can_use=False)) == [
        (
            "unusable",
            "you cannot read token in /home/ada/.stigmer (mode 0000)",
            "chmod u+rwX /home/ada/.stigmer/token",
        )
    ]


def test_write_access_of_others_is_removed_before_owners_change() -> None:
    kinds = [fault for fault, _, _ in found(folder(mode=0o777), entry("token", uid=BOB))]
    assert kinds == ["writable", "owner"]


def test_a_path_with_blanks_can_be_pasted() -> None:
    home = HomeEntry(path=Path("/tmp/my home"), uid=ADA, mode=stat.S_IFDIR | 0o777)
    [one] = find_faults([home], user=ADA, name_of=NAMES.get)
    assert one.fix == "chmod go-w '/tmp/my home'"
