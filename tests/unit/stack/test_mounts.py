"""A home on a disk that should be mounted, and is not."""

from pathlib import Path

from stigmer_cli.stack.mounts import file_system_of, missing_mount, mount_of, nearest


def test_the_deepest_mount_point_above_a_home_that_is_missing_is_named(tmp_path: Path) -> None:
    disk, fstab = tmp_path / "my disk", tmp_path / "fstab"
    escaped = str(disk).replace(" ", "\\040")
    fstab.write_text(
        f"# {tmp_path}/other\nUUID=1 / ext4 defaults 0 1\nUUID=2 {escaped} ext4 noauto 0 2\nUUID=3 none swap\n"
    )
    assert missing_mount(disk / "ada" / ".stigmer", fstab) == disk
    assert missing_mount(tmp_path / "elsewhere" / ".stigmer", fstab) is None, "/ is mounted"
    assert missing_mount(disk / ".stigmer", tmp_path / "no-fstab") is None


def test_a_bind_mount_is_the_mount_of_what_lies_below_it(tmp_path: Path) -> None:
    below = tmp_path / "my disk" / "ada"
    below.mkdir(parents=True)
    mounts = tmp_path / "mounts"
    escaped = str(below.parent).replace(" ", "\\040")
    mounts.write_text(f"/dev/vda / ext4 rw 0 0\n/dev/vda {escaped} ext4 ro 0 0\n")
    assert mount_of(below, mounts) == below.parent
    assert file_system_of(below, mounts) == "ext4"
    assert mount_of(tmp_path, mounts) == mount_of(tmp_path, tmp_path / "none")


def test_a_home_that_is_there_misses_nothing(tmp_path: Path) -> None:
    fstab = tmp_path / "fstab"
    fstab.write_text(f"UUID=2 {tmp_path} ext4 noauto 0 2\n")
    assert missing_mount(tmp_path, fstab) is None


def test_what_does_not_exist_lies_where_the_nearest_folder_does(tmp_path: Path) -> None:
    assert nearest(tmp_path / "a" / "b") == tmp_path
    assert mount_of(tmp_path).is_mount()
