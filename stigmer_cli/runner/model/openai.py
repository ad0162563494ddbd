"""Models behind an OpenAI-compatible endpoint, through pydantic-ai, which `library` loads when it is first needed."""

import asyncio
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import structlog

from stigmer_cli.api.reports import Work
from stigmer_cli.domain.execution import TokenUsage
from stigmer_cli.domain.model_name import OPENAI
from stigmer_cli.domain.secret import PROVIDER_KEYS
from stigmer_cli.runner.model.library import ModelLibrary
from stigmer_cli.runner.model.seam import ModelBusy, ModelFailed
from stigmer_cli.runner.secrets import SecretMissing, Secrets
from stigmer_cli.time_format import span

if TYPE_CHECKING:
    from pydantic_ai.messages import ModelResponse, ModelResponseStreamEvent
    from pydantic_ai.models import StreamedResponse
    from pydantic_ai.models.openai import OpenAIChatModel

OPENAI_URL = "https://api.openai.com/v1"
NO_KEY = "no-key-needed"
"""What a local endpoint gets where no key is set; the library insists on one."""

SILENT_FOR = "STIGMER_MODEL_SILENT_FOR"
DETAIL_CHARS_MAX = 300
TRANSIENT = frozenset(
    {
        HTTPStatus.REQUEST_TIMEOUT,
        HTTPStatus.CONFLICT,
        HTTPStatus.TOO_EARLY,
        HTTPStatus.TOO_MANY_REQUESTS,
    }
)

FINER_COUNTS = (
    "cache_read_tokens",
    "cache_write_tokens",
    "output_reasoning_tokens",
    "input_audio_tokens",
    "output_audio_tokens",
)
"""Counts that the library knows by one name for all providers."""

REFUSED = "content_filter"
"""What the library makes of a refusal, too, which the API tells in another field."""

CUT: Mapping[str, str] = {
    "length": "cut its answer at its limit of tokens (finish reason length)",
    REFUSED: "stopped its answer: it or its content filter refuses (finish reason content_filter)",
}
"""Ends of an answer that is not the whole one, by the finish reason of the API."""


class OpenAiModel:
    """The model called `name` at `base_url`; without one, at OpenAI itself, which needs a key."""

    def __init__(
        self,
        name: str,
        library: ModelLibrary,
        *,
        base_url: str | None,
        api_key: str | None,
        secrets: Secrets | None = None,
    ) -> None:
        """`secrets` is asked for the key where `api_key` is None."""
        self._name = name
        self._library = library
        self._is_local = base_url is not None
        self._url = base_url or OPENAI_URL
        self._secrets = secrets
        self._key = api_key or NO_KEY
        self._has_key = api_key is not None
        if secrets is None and not (self._has_key or self._is_local):
            raise self._no_key()

    async def stream(self, work: Work) -> AsyncGenerator[str | TokenUsage, None]:
        """The answer as it comes. Raises ModelFailed, or ModelBusy where asking again may help."""
        await self._library.load()
        async with self.errors_as_ours(), self._request(work) as response:
            try:
                async for event in response:
                    text = text_of_event(event)
                    if text:
                        yield text
            except Exception:
                if usage := usage_of(response.get(), work.model):
                    yield usage
                raise
            if usage := usage_of(response.get(), work.model):
                yield usage
            self.check_answer(response.get())

    async def _find_key(self) -> None:
        """Take the key from the secrets where the settings have none; raises ModelFailed where one is needed."""
        if self._has_key:
            return
        name = PROVIDER_KEYS[OPENAI]
        try:
            found = await self._secrets.find(name) if self._secrets else None
        except SecretMissing as error:
            raise ModelFailed(f"the model openai:{self._name} needs the secret {name}: {error.message}") from error
        if found is not None:
            self._key, self._has_key = found, True
        elif not self._is_local:
            raise self._no_key()

    def _no_key(self) -> ModelFailed:
        return ModelFailed(
            f"the model openai:{self._name} needs a key: set OPENAI_API_KEY (stigmer secrets set OPENAI_API_KEY), or"
            " OPENAI_BASE_URL for a local endpoint"
        )

    async def library_model(self) -> "OpenAIChatModel":
        """The model as pydantic-ai knows it. Raises ModelFailed, and what the library raises."""
        await self._find_key()
        return await self._library.chat_model(self._name, url=self._url, key=self._key)

    def check_answer(self, response: "ModelResponse") -> None:
        """Raise what an answer that is not complete comes to: cut, filtered, or broken off without a reason."""
        reason = _finish_reason_of(response)
        if reason is None:
            raise ModelBusy(f"{self._where} broke its answer off: it gave no reason for the end")
        if reason in CUT:
            raise ModelFailed(f"{self._where} {CUT[reason]}")

    @asynccontextmanager
    async def _request(self, work: Work) -> AsyncIterator["StreamedResponse"]:
        from pydantic_ai.direct import model_request_stream  # noqa: PLC0415 - loaded by the library
        from pydantic_ai.messages import ModelRequest  # noqa: PLC0415

        model = await self.library_model()
        request = ModelRequest.user_text_prompt(work.message, instructions=work.instructions or None)
        async with model_request_stream(model, [request]) as response:
            yield response

    @asynccontextmanager
    async def errors_as_ours(self) -> AsyncIterator[None]:
        """Raise what the library raises within as ModelFailed, or ModelBusy where asking again may help."""
        from openai import OpenAIError  # noqa: PLC0415 - loaded by the library
        from pydantic_ai.exceptions import (  # noqa: PLC0415
            AgentRunError,
            ModelAPIError,
            ModelHTTPError,
            ModelQuotaExceededError,
            UserError,
        )

        try:
            yield
        except ModelHTTPError as error:
            is_final = isinstance(error, ModelQuotaExceededError) or error.provider_retry_hint is False
            raise self._of_status(error.status_code, error.body, error.retry_after, is_final=is_final) from error
        except ModelAPIError as error:
            if _is_silence(error):
                raise ModelBusy(
                    f"{self._where} has said nothing for {span(self._library.silent_s)} ({SILENT_FOR})"
                ) from error
            proxy, cause = self._library.way_to(self._url), _innermost(error)
            way = f" through the proxy {proxy.where}" if proxy else ""
            # A certificate that is not trusted now will not be in a minute either.
            kind = ModelFailed if isinstance(cause, ssl.SSLCertVerificationError) else ModelBusy
            raise kind(f"{self._where} cannot be reached{way}: {self._clean(cause)}") from error
        except (AgentRunError, UserError, OpenAIError) as error:
            raise ModelFailed(f"{self._where} gave an answer that makes no sense: {self._clean(error)}") from error
        except (ModelFailed, ModelBusy):
            raise
        except Exception as error:
            # The library's other failures would do the same again; let out, each would look like a runner that died.
            structlog.get_logger().exception("model_library_failed", model=self._name)
            raise ModelFailed(f"{self._where} cannot be used: {self._clean(_in_words(error))}") from error

    def _of_status(
        self, status: int, body: object, retry_after_s: float | None, *, is_final: bool
    ) -> ModelFailed | ModelBusy:
        """The error for an answer with `status`; `is_final`: the provider says that asking again cannot help."""
        if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            # What providers say here holds a part of the key.
            return ModelFailed(
                f"{self._where} refuses the key (status {status}) that the runner was started with: check"
                " OPENAI_API_KEY, then stigmer restart runner"
            )
        if status == HTTPStatus.NOT_FOUND:
            return ModelFailed(f"{self._where} is not there (status 404): check the agent's model and OPENAI_BASE_URL")
        words = f"{self._where} answered {_in_full(status)}: {self._clean(_said(body))}"
        if not is_final and (status in TRANSIENT or status >= HTTPStatus.INTERNAL_SERVER_ERROR):
            return ModelBusy(words, wait_s=retry_after_s)
        return ModelFailed(words)

    @property
    def _where(self) -> str:
        return f"the model openai:{self._name} at {urlsplit(self._url).netloc.rpartition('@')[2]}"

    def _clean(self, words: object) -> str:
        text = " ".join(str(words).split()).replace(self._key, "***")
        return text[:DETAIL_CHARS_MAX] or type(words).__name__


def text_of_event(event: "ModelResponseStreamEvent") -> str:
    """The text that `event` adds; empty if it adds something else."""
    from pydantic_ai.messages import PartDeltaEvent, PartStartEvent, TextPart, TextPartDelta  # noqa: PLC0415

    match event:
        case PartStartEvent(part=TextPart(content=text)):
            return text
        case PartDeltaEvent(delta=TextPartDelta(content_delta=text)):
            return text
        case _:
            return ""


def usage_of(response: "ModelResponse", model: str) -> TokenUsage | None:
    """What the provider counted so far, and what that costs; None where it has said nothing."""
    counted = response.usage
    details = {name: count for name in FINER_COUNTS if (count := getattr(counted, name))}
    if not (counted.input_tokens or counted.output_tokens or details):
        return None
    return TokenUsage(
        model=model,
        input_tokens=counted.input_tokens,
        output_tokens=counted.output_tokens,
        details=details,
        cost=_cost_of(response),
    )


def _cost_of(response: "ModelResponse") -> float | None:
    """The list price of what `response` used, in US dollars; None for a model whose price the library does not know."""
    try:
        return float(response.cost().total_price)
    except (LookupError, ValueError, AssertionError):  # no such model, nothing to count, no name of a model
        return None


def _finish_reason_of(response: "ModelResponse") -> str | None:
    """What the provider itself gave as the reason for the end; the library assumes `stop` if it gave none."""
    given = (response.provider_details or {}).get("finish_reason")
    if given is None and response.finish_reason == REFUSED:
        return REFUSED
    return str(given) if given else None


def _said(body: object) -> object:
    """The provider's own words in the usual shape, or all of it."""
    if isinstance(body, dict):
        inner = body.get("error", body)
        return inner.get("message", inner) if isinstance(inner, dict) else inner
    return body or "no reason given"


def _in_full(status: int) -> str:
    """`429 Too Many Requests`; only the number where it has no name (529)."""
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def _in_words(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _is_silence(error: BaseException) -> bool:
    """Whether the endpoint was reached, and then let the time pass in which it has to say something."""
    from httpx2 import ReadTimeout  # noqa: PLC0415 - loaded by the library

    found: BaseException | None = error
    while found is not None and not isinstance(found, ReadTimeout):
        found = found.__cause__
    return found is not None


def _innermost(error: BaseException) -> BaseException:
    while error.__cause__ is not None and not isinstance(error.__cause__, asyncio.CancelledError):
        error = error.__cause__
    return error
