"""Why something is stuck, and what to type: checks as data, one runner, one report."""
