"""The model behind each name."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from stigmer_cli.clock import Clock
from stigmer_cli.domain.model_name import ECHO, ECHO_SLOW, SCRIPT, find_model_problem
from stigmer_cli.domain.model_provider import OPENAI, PROVIDERS, Provider
from stigmer_cli.runner.model.echo import SLOW_WORD_S, Echo
from stigmer_cli.runner.model.hosted import HostedModel
from stigmer_cli.runner.model.library import ModelLibrary
from stigmer_cli.runner.model.script import ScriptedModel
from stigmer_cli.runner.model.seam import Model, ModelFailed
from stigmer_cli.runner.secrets import Secrets
from stigmer_cli.settings import Settings
from stigmer_cli.time_format import parse_span

NO_VARIABLES: Mapping[str, str] = MappingProxyType({})


class Catalog:
    """The models that these settings allow."""

    def __init__(
        self,
        settings: Settings,
        *,
        clock: Clock,
        secrets: Secrets | None = None,
        environ: Mapping[str, str] = NO_VARIABLES,
    ) -> None:
        """`environ` has keys and endpoints of providers; `secrets` the keys that are in neither; None: no others."""
        self._settings = settings
        self._environ = environ
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
        provider_name, _, rest = name.partition(":")
        provider = PROVIDERS[provider_name]
        key, url = self._find_key(provider), self._find_url(provider)
        return HostedModel(provider, rest, self._library, url=url, key=key, secrets=self._secrets)

    def _find_key(self, provider: Provider) -> str | None:
        if provider.key == OPENAI.key:
            return self._settings.openai_api_key
        return next((value for name in provider.keys if (value := self._environ.get(name))), None)

    def _find_url(self, provider: Provider) -> str | None:
        if provider.url == OPENAI.url:
            return self._settings.openai_base_url
        return self._environ.get(provider.url) or None
