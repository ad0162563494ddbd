"""`stigmer doctor --bundle`: writes the archive for a bug report, and lists what it contains."""

from collections.abc import Mapping
from pathlib import Path

from stigmer_cli.cli.context import Cli
from stigmer_cli.doctor.archive import write_archive
from stigmer_cli.doctor.bundle import BundleContext, collect_entries
from stigmer_cli.doctor.report import Diagnosis
from stigmer_cli.doctor.text import size


def write_bundle(cli: Cli, seen: Diagnosis, bundle: Path) -> Mapping[str, object]:
    """List what the archive will contain, and write it; returns its entry in the JSON report."""
    around = BundleContext(environ=cli.environ, user_home=cli.user_home)
    entries = cli.run(collect_entries(seen.facts, seen.report, around))
    cli.out.note(f"{bundle} will contain, without secrets:")
    for entry in entries:
        cli.out.note(f"  {entry.name:<20} {size(len(entry.content)):>10}  {entry.about}")
    written = write_archive(bundle, entries, at=cli.clock.now())
    cli.out.note(f"wrote {bundle} ({size(written)}); check it before you send it")
    contents = [{"name": entry.name, "bytes": len(entry.content)} for entry in entries]
    return {"file": str(bundle), "bytes": written, "contents": contents}
