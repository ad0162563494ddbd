"""Mutants of health: what counts as unhealthy, what is blocked, and who owns a home."""

from tests.mutants.mutant import Mutant

CHECKS = "tests/unit/doctor/test_run_checks.py"
REPORT = "tests/unit/doctor/test_report.py"
FAIR = "tests/unit/test_fair_timeout.py"
READINESS = "tests/unit/stack/test_readiness.py"
STANDSTILL = "tests/integration/stack/test_frozen_parts.py"
TRUST = "tests/unit/test_home_trust.py"

MUTANTS: tuple[Mutant, ...] = (
    Mutant(
        name="time in which doctor stood still counts against a check",
        file="fair_timeout.py",
        old="        self.served_s += elapsed_s - starved_s\n",
        new="        self.served_s += elapsed_s\n",
        caught_by=(FAIR, CHECKS),
    ),
    Mutant(
        name="what could not be judged has failed",
        file="doctor/check.py",
        old='    return Found(result=Result.SKIP, message=f"{UNJUDGED}',
        new='    return Found(result=Result.FAIL, message=f"{UNJUDGED}',
        caught_by=(REPORT, CHECKS),
    ),
    Mutant(
        name="strict does not count what was not judged",
        file="doctor/report.py",
        old='(summary["warnings"] or self.unjudged)',
        new='summary["warnings"]',
        caught_by=(REPORT,),
    ),
    Mutant(
        name="a frozen part is ready as long as the server believes it",
        file="stack/readiness.py",
        old="        elif still and child.name in still:\n",
        new="        elif still and child.name == still:\n",
        caught_by=(READINESS,),
    ),
    Mutant(
        name="a runner whose loop hangs is not asked",
        file="stack/standstill.py",
        old="within_s=LOOP_MAX_S) is False",
        new="within_s=LOOP_MAX_S) is None",
        caught_by=(STANDSTILL,),
    ),
    Mutant(
        name="a sticky home that all can write in is trusted",
        file="home_trust.py",
        old="    if home.mode & OTHERS_WRITE:\n",
        new="    if home.mode & OTHERS_WRITE and not home.mode & stat.S_ISVTX:\n",
        caught_by=(TRUST,),
    ),
    Mutant(
        name="only the home's owner counts, and not that of what lies in it",
        file="home_trust.py",
        old="    strange = [one for one in (home, *inside) if one.owners - {user}]\n",
        new="    strange = [one for one in (home,) if one.owners - {user}]\n",
        caught_by=(TRUST,),
    ),
)
