"""Whether processes of the stack can be looked for here, by their pids."""

from stigmer_cli.stack.status import SupervisorObservation

ELSEWHERE = "in another pid namespace: a container's, or a sandbox's"


def is_out_of_sight(look: SupervisorObservation) -> bool:
    """Whether the stack runs in another pid namespace, so that its pids mean nothing here."""
    return look.is_answering and look.record is not None and not look.record.is_visible
