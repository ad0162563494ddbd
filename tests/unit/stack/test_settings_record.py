"""What the record says of the web UI: an address that was drawn is no setting that somebody could have changed."""

from dataclasses import replace
from pathlib import Path

from stigmer_cli.settings import Home, Settings
from stigmer_cli.stack.differences import would_change
from stigmer_cli.stack.settings_record import new_record

OWN = Settings(home=Home(path=Path("/nowhere")))
THEIRS = replace(OWN, temporal_address="far:7233", ui_address="far:8233")
PARTS = ("temporal", "server", "runner")


def test_where_the_ui_of_the_own_temporal_was_put_makes_no_difference() -> None:
    drawn = replace(OWN, ui_address="127.4.5.6:20001")
    record = new_record().with_parts(drawn, PARTS, at="")
    assert would_change(record, OWN) == ()
    assert would_change(new_record().with_parts(OWN, PARTS, at=""), drawn) == ()


def test_the_ui_that_was_named_for_somebody_elses_temporal_is_recorded() -> None:
    record = new_record().with_parts(THEIRS, PARTS, at="")
    given = record.find_given("ui_address")
    assert given is not None
    assert given.value == "far:8233"
