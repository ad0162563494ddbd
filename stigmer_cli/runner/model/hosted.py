"""Models that a provider has, through pydantic-ai, which `library` loads when it is first needed."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from stigmer_cli.api.reports import Work
from stigmer_cli.domain.execution import TokenUsage
from stigmer_cli.domain.model_provider import OPENAI, Provider, describe_unknown_price
from stigmer_cli.host_names import find_url_problem
from stigmer_cli.runner.model.library import ModelLibrary, settings_for
from stigmer_cli.runner.model.library_answer import (
    describe_cut,
    has_reason,
    is_priced,
    size_of_event,
    text_of_event,
    usage_of,
)
from stigmer_cli.runner.model.library_chunks import repair_chunks
from stigmer_cli.runner.model.library_failure import AskedModel, silence_of, translate_failure
from stigmer_cli.runner.model.seam import TRIES_AGAIN_MAX, ModelBusy, ModelFailed
from stigmer_cli.runner.model.silence import Silence
from stigmer_cli.runner.secrets import SecretMissing, Secrets
from stigmer_cli.secret_values import DELIVERED

if TYPE_CHECKING:
    from pydantic_ai.messages import ModelResponse, ModelResponseStreamEvent
    from pydantic_ai.models import Model, StreamedResponse

ANSWER_CHARS_MAX = 2_000_000
"""How long an answer may be with its thoughts and calls: a model that repeats itself does so without an end."""

NO_KEY = "no-key-needed"
"""What an endpoint gets where no key is set; libraries insist on one."""


class HostedModel:
    """The model called `name` of `provider`, at `url`; without one, where the provider has it, which needs a key."""

    def __init__(
        self,
        provider: Provider,
        name: str,
        library: ModelLibrary,
        *,
        url: str | None,
        key: str | None,
        secrets: Secrets | None = None,
    ) -> None:
        """`secrets` is asked for the key where `key` is None.

        Raises ModelFailed where nobody has one, or `url` is no URL.
        """
        self._provider = provider
        self._name = f"{provider.name}:{name}"
        self._library = library
        self._url = url or provider.url_default or None
        if self._url and (problem := find_url_problem(self._url)):
            where = f"the model {self._name} cannot be asked at its endpoint"
            raise ModelFailed(f"{where}: {problem}; correct {provider.url}, then stigmer restart runner")
        self._needs_key = provider.needs_key and url is None
        self._secrets = secrets
        self._key = key
        self._is_key_secret = False
        self._host = _host_of(self._url)
        self._proxy = ""
        if key is not None:
            DELIVERED.remember(key)
        elif secrets is None and self._needs_key:
            raise self._no_key()

    async def stream(self, work: Work) -> AsyncGenerator[str | TokenUsage, None]:
        """The answer as it comes; for one without a word the model is asked again, `TRIES_AGAIN_MAX` times at most.

        Raises ModelFailed, or ModelBusy where asking again later may help.
        """
        await self._library.load(self._provider)
        has_word = False
        for _ in range(1 + TRIES_AGAIN_MAX):
            async with aclosing(self._stream_once(work)) as answer:
                async for part in answer:
                    has_word = has_word or isinstance(part, str)
                    yield part
            if has_word:
                return
        raise ModelFailed(f"{self._asked.where} has given an empty answer, and was asked for another one in vain")

    async def _stream_once(self, work: Work) -> AsyncGenerator[str | TokenUsage, None]:
        async with self.errors_as_ours(), self._request(work) as response:
            try:
                async for event in self.watch(response):
                    if text := text_of_event(event):
                        yield text
            except Exception:
                if usage := usage_of(response.get(), work.model):
                    yield usage
                raise
            if usage := usage_of(response.get(), work.model):
                yield usage
            self.check_answer(response.get())

    async def library_model(self) -> "Model":
        """The model as pydantic-ai knows it. Raises ModelFailed, and InstallationChanged."""
        await self._library.load(self._provider)
        async with self.errors_as_ours():
            key = await self._find_key()
            self._check_key(key or "")
            name = self._name.partition(":")[2]
            has_other_way = not self._provider.needs_key and self._provider.library != OPENAI.library
            key = key or (None if has_other_way else NO_KEY)
            found = await self._library.model(self._provider, name, url=self._url, key=key)
            where = self._url or found.base_url or ""
            proxy = self._library.way_to(where)
            self._host, self._proxy = _host_of(where), proxy.where if proxy else ""
            return found

    def check_answer(self, response: "ModelResponse") -> None:
        """Raise what an answer that is not complete comes to: cut, filtered, or broken off without a reason."""
        if why := describe_cut(response):
            raise ModelFailed(f"{self._asked.where} {why}")
        if not has_reason(response, is_assumed=self._provider.library == OPENAI.library):
            raise ModelBusy(f"{self._asked.where} broke its answer off: it gave no reason for the end")

    def check_price(self, model: "Model") -> None:
        """Raise ModelFailed where the price of `model`, this one as the library knows it, is not known."""
        if not is_priced(model):
            raise ModelFailed(describe_unknown_price(self._name))

    async def watch(self, response: "StreamedResponse") -> "AsyncGenerator[ModelResponseStreamEvent, None]":
        """What comes of an answer. Raises ModelBusy where nothing comes, and ModelFailed where it has no end."""
        chars = 0
        async for event in self.silence.each(aiter(response)):
            chars += size_of_event(event)
            if chars > ANSWER_CHARS_MAX:
                raise ModelFailed(
                    f"{self._asked.where} has not ended its answer after {ANSWER_CHARS_MAX:,} characters of text,"
                    " thoughts and calls"
                )
            yield event

    @property
    def silence(self) -> Silence:
        """How long it may take for its next word."""
        return Silence(max_s=self._library.silent_s, make_error=lambda: silence_of(self._asked))

    @asynccontextmanager
    async def errors_as_ours(self) -> AsyncIterator[None]:
        """Raise what the library raises within as ModelFailed, or ModelBusy where asking again may help."""
        try:
            yield
        except Exception as error:
            ours = translate_failure(error, self._asked)
            if ours is error:
                raise
            raise ours from error

    @asynccontextmanager
    async def _request(self, work: Work) -> AsyncIterator["StreamedResponse"]:
        from pydantic_ai.direct import model_request_stream  # noqa: PLC0415 - loaded by the library
        from pydantic_ai.messages import ModelRequest  # noqa: PLC0415

        from stigmer_cli.runner.agent.history import history_of  # noqa: PLC0415 - it imports the library

        model = await self.library_model()
        request = ModelRequest.user_text_prompt(work.message, instructions=work.instructions or None)
        messages = [*history_of(work), request]
        opening = model_request_stream(model, messages, model_settings=settings_for(model))
        async with self.silence.until_open(opening) as response:
            repair_chunks(response)
            yield response

    async def _find_key(self) -> str | None:
        """The key: what the runner was given, else the secret; raises ModelFailed where one is needed."""
        if self._key is not None and not self._is_key_secret:
            return self._key
        for name in self._provider.keys:
            try:
                found = await self._secrets.find(name) if self._secrets else None
            except SecretMissing as error:
                raise ModelFailed(f"the model {self._name} needs the secret {name}: {error.message}") from error
            if found is not None:
                self._key, self._is_key_secret = found, True
                return found
        if self._needs_key:
            raise self._no_key()
        return None

    def _check_key(self, key: str) -> None:
        """Raise ModelFailed for a key with a character that no key has, as a quote or an end of line copied along."""
        place = next((number for number, character in enumerate(key, 1) if not "!" <= character <= "~"), None)
        if place is not None:
            odd = f"its character {place} is {key[place - 1]!a}, and keys have letters, digits and signs of ASCII"
            raise ModelFailed(f"{self._asked.where} cannot be asked with the key {self._asked.key} ({odd})")

    def _no_key(self) -> ModelFailed:
        key, url = self._provider.key, self._provider.url
        other = f", or {url} for a local endpoint" if url and self._provider.library == OPENAI.library else ""
        return ModelFailed(f"the model {self._name} needs a key: set {key} (stigmer secrets set {key}){other}")

    @property
    def _asked(self) -> AskedModel:
        key = self._provider.key
        return AskedModel(
            name=self._name,
            host=self._host,
            key=f"of the secret {key}: stigmer secrets set {key}"
            if self._is_key_secret
            else f"that the runner was started with: check {key}, then stigmer restart runner",
            endpoint=self._provider.url,
            proxy=self._proxy,
            silent_s=self._library.silent_s,
        )


def _host_of(url: str | None) -> str:
    return urlsplit(url).netloc.rpartition("@")[2] if url else ""
