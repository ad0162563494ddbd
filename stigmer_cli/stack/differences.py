"""What differs between the settings that parts run with and others, in words without a secret's value."""

from collections.abc import Sequence
from dataclasses import dataclass

from stigmer_cli.options import ADDRESSES, BY_NAME, OPTIONS
from stigmer_cli.settings import Settings, Source
from stigmer_cli.stack.precedence import DATABASE, keep_recorded, name_source
from stigmer_cli.stack.settings_record import RUNNER, Given, SettingsRecord


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One setting that `parts` were given as `before`, and are, or would be, given as `now`."""

    name: str
    parts: tuple[str, ...]
    before: Given
    now: Given

    def __str__(self) -> str:
        """One line for a person."""
        return f"{self.name} ({', '.join(self.parts)}): {self.words(self.before)} -> {self.words(self.now)}"

    def words(self, given: Given) -> str:
        """One side of it."""
        if not given.is_set:
            return "not set"
        layer = name_source(given.source, BY_NAME[self.name])
        mark = f"fingerprint {given.fingerprint}" if given.fingerprint else ""
        if given.value is None:
            other = "another value" if self.before.is_set and given is self.now else "a value"
            return f"{other} ({layer}, {mark})"
        return f"{given.value} ({layer}{f', password with {mark}' if mark else ''})"

    def to_json(self) -> dict[str, object]:
        """The JSON object."""
        return {"setting": self.name, "parts": list(self.parts), "before": _json(self.before), "now": _json(self.now)}


def find_differences(
    before: SettingsRecord | None, after: SettingsRecord, parts: Sequence[str]
) -> tuple[Difference, ...]:
    """What `after` gives `parts` differently; a part that is not in `before` has none."""
    found: dict[tuple[str, Given, Given], list[str]] = {}
    for option in OPTIONS:
        for part in parts:
            old, new = (record.find_given(option.name, part) if record else None for record in (before, after))
            if old is not None and new is not None and not old.is_same(new):
                found.setdefault((option.name, old, new), []).append(part)
    return tuple(
        Difference(name=name, parts=tuple(readers), before=old, now=new) for (name, old, new), readers in found.items()
    )


def would_change(
    record: SettingsRecord | None, settings: Settings, *, is_new: bool = False, is_database_meant: bool = False
) -> tuple[Difference, ...]:
    """What all parts in `record` would be given differently if they were started again with `settings`.

    `is_new`: addresses without a setting are not the recorded ones. `is_database_meant`: nor is the database.
    """
    if record is None:
        return ()
    wanted = settings if is_new else keep_recorded(settings, record)
    found = find_differences(record, record.with_parts(wanted, tuple(record.parts), at=""), tuple(record.parts))
    is_database_meant = is_database_meant or settings.sources.get(DATABASE, Source.DEFAULT) is not Source.DEFAULT
    return tuple(one for one in found if one.name != DATABASE or is_database_meant)


def takeover_command(pending: Sequence[Difference]) -> str:
    """The command that makes the parts use `pending`."""
    if all(one.parts == (RUNNER,) and one.name not in ADDRESSES for one in pending):
        return "stigmer restart runner"
    if any(one.name == DATABASE and one.before.value != one.now.value for one in pending):
        return "stigmer down && stigmer up --new-database"
    return "stigmer restart"


def _json(given: Given) -> dict[str, object]:
    return {"value": given.value, "fingerprint": given.fingerprint, "source": given.source}
