"""Secrets for what a runner starts and asks: fetched from the server when they are needed, and kept nowhere.

So a secret that was changed or deleted counts from the next model turn or tool server on. Each value is taken out of
every text that leaves this process afterwards.
"""

from collections.abc import Mapping, Sequence

from stigmer_cli.domain.secret import fill_references, find_name_problem, find_references
from stigmer_cli.errors import OperationFailed
from stigmer_cli.runner.reports import Reporter, ReportRefused
from stigmer_cli.secret_values import DELIVERED


class SecretMissing(OperationFailed):
    """A reference names a secret that is not there or cannot be read; the sentence says which, and what to type."""

    code = "secret-missing"


class Secrets:
    """The secrets of the server. While that is away, each call waits for it."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter

    async def find(self, name: str) -> str | None:
        """The value of the secret `name`; None if there is none. Raises SecretMissing if it cannot be read."""
        return (await self._fetch([name])).get(name)

    async def resolve(self, text: str) -> str:
        """`text` with the value of each `${secrets.NAME}` in its place; raises SecretMissing."""
        names = sorted(find_references(text))
        if not names:
            return text
        values = await self._fetch(names)
        missing = [name for name in names if name not in values]
        if missing:
            problem = find_name_problem(missing[0])
            raise SecretMissing(problem or f"there is no secret {missing[0]}: stigmer secrets set {missing[0]}")
        return fill_references(text, values)

    async def read(self, names: Sequence[str]) -> Mapping[str, str]:
        """The values of those of `names` that there are; raises SecretMissing if they cannot be read."""
        return await self._fetch(names)

    async def _fetch(self, names: Sequence[str]) -> Mapping[str, str]:
        nothing: Mapping[str, str] = {}
        try:
            values = await self._reporter.ask(lambda reports: reports.resolve_secrets(names), otherwise=nothing)
        except ReportRefused as error:
            raise SecretMissing(error.message) from error
        for value in values.values():
            DELIVERED.remember(value)
        return values
