"""Run by Python as it starts in a process whose PYTHONPATH names this folder: switches the failpoints on."""

from tests.chaos.failpoints.points import switch_on

switch_on()
