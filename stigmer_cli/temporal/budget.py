"""A budget for retries: one for every ten calls, and a small reserve, so that retries never become an overload.

After the retry budget of Finagle (Twitter) and the retry throttling of gRPC (proposal A6). A call whose retry is
refused fails as if it had been the last try; the caller waits and sends it again.
"""

SHARE = 0.1
"""Retries a call earns: at most so much extra load."""

RESERVE = 10.0
"""Retries that may be saved up: what a quiet server may spend at once."""


class RetryBudget:
    """Counts calls and retries of one client."""

    def __init__(self) -> None:
        self._saved = RESERVE

    def record_call(self) -> None:
        """A call was made for the first time."""
        self._saved = min(RESERVE, self._saved + SHARE)

    def spend(self) -> bool:
        """Whether one more retry is within the budget; it counts as made."""
        if self._saved < 1.0:
            return False
        self._saved -= 1.0
        return True
