"""Mutants of settings: which of them count, what a part is given, what is refused."""

from tests.mutants.mutant import Mutant

PRECEDENCE = "tests/unit/stack/test_precedence.py"

MUTANTS: tuple[Mutant, ...] = (
    Mutant(
        name="a shell that says nothing starts the stack at other addresses",
        file="stack/precedence.py",
        old="        if given.value is not None and given.fingerprint is None:\n",
        new="        if given.value is not None and given.fingerprint == given.value:\n",
        caught_by=(PRECEDENCE,),
    ),
    Mutant(
        name="the key of one Temporal is taken to another",
        file="stack/precedence.py",
        old="        if is_moved and option.name in OF_ONE_TEMPORAL:\n",
        new='        if is_moved and option.name == "temporal_address":\n',
        caught_by=(PRECEDENCE,),
    ),
    Mutant(
        name="a part alone is started at the addresses of a shell",
        file="stack/precedence.py",
        old="        for option in SHARED\n",
        new="        for option in SHARED[:0]\n",
        caught_by=(PRECEDENCE,),
    ),
    Mutant(
        name="a stack starts on another database without a word",
        file="stack/precedence.py",
        old="    if before is None or _is_same_database(settings, before):\n",
        new="    if before is None or settings.home:\n",
        caught_by=(PRECEDENCE,),
    ),
    Mutant(
        name="the password of a database is written down",
        file="stack/settings_record.py",
        old="        return Given(value=without_password(text), fingerprint=mark, source=source)\n",
        new="        return Given(value=text, fingerprint=mark, source=source)\n",
        caught_by=(PRECEDENCE,),
    ),
    Mutant(
        name="a key that was unset stays with the part",
        file="settings.py",
        old="for name, value in environ.items() if name not in ours}",
        new="for name, value in environ.items() if name != str(ours)}",
        caught_by=("tests/unit/test_settings.py",),
    ),
    Mutant(
        name="a new spec is taken and the old one is started",
        file="supervisor/child.py",
        old="        self.spec = self.next_spec\n",
        new="        self.next_spec = self.spec\n",
        caught_by=("tests/integration/supervisor/test_new_spec.py",),
    ),
    Mutant(
        name="doctor judges keys by its own shell",
        file="doctor/facts/model_settings.py",
        old="    found = record.parts.get(RUNNER) if record else None\n",
        new="    found = None if record else record\n",
        caught_by=("tests/unit/doctor/checks/test_started_settings.py",),
    ),
)
