"""Fixed reports, for golden output: a port that is taken, what follows from it, something hostile, and repairs."""

from dataclasses import replace

from stigmer_cli.doctor.catalog import BY_CODE
from stigmer_cli.doctor.check import Found, Judged, because, failed, passed, skipped, told, warned
from stigmer_cli.doctor.repairs.fix import FixOutcome, FixResult
from stigmer_cli.doctor.report import Report

FOUND: dict[str, Found] = {
    "STG101": passed("/home/ada/.stigmer is yours and writable"),
    "STG103": failed(
        "port 7234 for server is held by pid 812 (python -m http.server --bind 127.0.0.1 7234)",
        "stigmer down && stigmer up --auto-ports",
        port=7234,
    ),
    "STG104": passed("running (pid 10)"),
    "STG105": warned(
        "temporal is running (pid 11), restarted 1 time; ended last at 12:00:00: \x1b]0;owned\x07[red]killed[/red]",
        "stigmer logs temporal --tail 20",
    ),
    "STG106": failed(
        "server does not start: ended by itself with exit code 1; port 7234 is held by pid 812 (python -m http.server"
        " --bind 127.0.0.1 7234) (5 times in a row); its last line: port 7234 is taken",
        "stigmer logs server --tail 20",
        lastLines=["port 7234 is taken\x1b[2J"],
    ),
    "STG108": because("STG106"),
    "STG201": passed("127.0.0.1:7233 takes connections from here"),
    "STG205": because("STG106"),
    "STG208": told("about 3 tasks wait in Temporal"),
    "STG301": skipped("the database is not a file of this machine"),
    "STG404": because("STG106"),
    "STG501": passed("all settings are valid"),
}
REPORT = Report(
    judged=tuple(Judged(check=BY_CODE[code], found=found, duration_ms=12) for code, found in FOUND.items()), took_s=0.42
)

FIXES = (
    FixResult(
        code="STG101",
        action="remove the rights of others from the folders of the home",
        outcome=FixOutcome.DONE,
        message="removed the rights of others from /home/ada/.stigmer (was 0755)",
    ),
    FixResult(
        code="STG106",
        action="start the part again through its supervisor",
        outcome=FixOutcome.LEFT,
        message="it cannot start while port 7234 is held by pid 812 (python -m http.server 7234\x1b[2J)",
    ),
    FixResult(
        code="STG107",
        action="start the part again through its supervisor",
        outcome=FixOutcome.FAILED,
        message="started runner, and it ended again: ended by itself with exit code 1",
    ),
    FixResult(
        code="STG103",
        action="nothing",
        outcome=FixOutcome.LEFT,
        message="no repair for it is safe without asking you",
    ),
    FixResult(
        code="STG404",
        action="nothing",
        outcome=FixOutcome.LEFT,
        message="no repair for it is safe without asking you",
    ),
)
REPAIRED = replace(REPORT, fixes=FIXES)

HEALTHY = Report(
    judged=tuple(
        Judged(check=BY_CODE[code], found=passed("well"), duration_ms=12)
        for code in ("STG101", "STG103", "STG104", "STG201", "STG202", "STG301", "STG501")
    ),
    took_s=1.31,
)
WARNED = Report(
    judged=(
        *HEALTHY.judged,
        Judged(
            check=BY_CODE["STG106"],
            found=warned(
                "server is running (pid 12), restarted 1 time; ended last at 12:00:00: killed by SIGKILL from outside:"
                " kill -9, or the kernel short of memory",
                "stigmer logs server --tail 20",
            ),
            duration_ms=12,
        ),
        Judged(
            check=BY_CODE["STG502"],
            found=warned("unknown variable STIGMER_PROT; did you mean STIGMER_SERVER_PORT?", "unset STIGMER_PROT"),
            duration_ms=12,
        ),
    ),
    took_s=1.31,
)
