"""Use cases and loops of executions: accept, dispatch, cancel, report, reconcile."""
