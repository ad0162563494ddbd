"""How far this machine is from the idle one of which promises in seconds are made."""

import os


def slack() -> float:
    """By how much it is busier than it has processors, at least 1.0: what a time limit is to be multiplied by."""
    return max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
