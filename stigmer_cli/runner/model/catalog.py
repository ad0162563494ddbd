"""The model behind each name."""

from pathlib import Path

from stigmer_cli.clock import Clock
from stigmer_cli.domain.model_name import ECHO, ECHO_SLOW, OPENAI, SCRIPT, find_model_problem
from stigmer_cli.runner.model.echo import SLOW_WORD_S, Echo
from stigmer_cli.runner.model.library import ModelLibrary
from stigmer_cli.runner.model.openai import OpenAiModel
from stigmer_cli.runner.model.script import ScriptedModel
from stigmer_cli.runner.model.seam import Model, ModelFailed
from stigmer_cli.runner.secrets import Secrets
from stigmer_cli.settings import Settings
from stigmer_cli.time_format import parse_span


class Catalog:
    """The models that these settings allow."""

    def __init__(self, settings: Settings, *, clock: Clock, secrets: Secrets | None = None) -> None:
        """`secrets` has the keys that the settings do not have; None: there are no others."""
        self._settings = settings
        self._secrets = secrets
        self._clock = clock
        self._library = ModelLibrary(settings.proxies, silent_s=parse_span(settings.model_silent_for))

    async def close(self) -> None:
        """Close the connections to the models."""
        await self._library.close()

    def __call__(self, name: str) -> Model:
        """The model called `name`; raises ModelFailed with a sentence that says what to write or set."""
        if problem := find_model_problem(name):
            raise ModelFailed(problem)
        if name == ECHO:
            return Echo(clock=self._clock)
        if name == ECHO_SLOW:
            return Echo(clock=self._clock, word_s=SLOW_WORD_S)
        if name.startswith(SCRIPT):
            return ScriptedModel(Path(name.removeprefix(SCRIPT)), clock=self._clock)
        return OpenAiModel(
            name.removeprefix(f"{OPENAI}:"),
            self._library,
            base_url=self._settings.openai_base_url,
            api_key=self._settings.openai_api_key,
            secrets=self._secrets,
        )
