"""What the library's exceptions come to: the same for every provider, because the library has one tree for all.

401, a key that is refused      ──▶ ModelFailed, with where the key came from
403                             ──▶ ModelFailed, with its words and where the key came from: both may be the reason
404, an unknown model           ──▶ ModelFailed
no answer of a model at all     ──▶ ModelFailed, or ModelBusy as the status says that it holds
a limit of the rate, 408, 5xx   ──▶ ModelBusy, with how long the provider asks to wait
unreachable, broken off, silent ──▶ ModelBusy
a conversation that is too long ──▶ ContextTooLong, a ModelFailed
anything else                   ──▶ ModelFailed: asking again would do the same
"""

import asyncio
import html
import json
import re
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

import structlog

from stigmer_cli.runner.model.seam import ContextTooLong, ModelBusy, ModelFailed
from stigmer_cli.runner.model.unreadable import NoAnswer
from stigmer_cli.secret_values import redact_sentence
from stigmer_cli.time_format import span

if TYPE_CHECKING:
    from pydantic_ai.exceptions import ModelAPIError

SILENT_FOR = "STIGMER_MODEL_SILENT_FOR"
DETAIL_CHARS_MAX = 300
PAGE_CHARS_MAX = 20_000
EMPTY_STREAM = "Streamed response ended without"
"""How the library begins where nothing came."""

UNREADABLE = frozenset({"DecodingError", "TooManyRedirects"})
"""The classes by which HTTP libraries say that an answer came, and is amiss: it is the next time, too."""

KEYLESS_HINT = "To try Pydantic AI without"
"""How the library goes on where a key or an endpoint is missing: with what does not help here."""

TOO_LONG = re.compile(r"(?i)context[ _](?:length|size|window)|too (?:long|large)")
"""How servers say that they were asked with too much."""

NO_REGION = "`region_name`"
SET_REGION = "set AWS_DEFAULT_REGION where the runner is started, then stigmer restart runner"

TRANSIENT = frozenset(
    {
        HTTPStatus.REQUEST_TIMEOUT,
        HTTPStatus.CONFLICT,
        HTTPStatus.TOO_EARLY,
        HTTPStatus.TOO_MANY_REQUESTS,
    }
)
SILENCES = frozenset({"ReadTimeout", "ReadTimeoutError"})
"""The classes by which HTTP libraries say that an endpoint was reached, and then said nothing for too long."""


@dataclass(frozen=True, kw_only=True)
class AskedModel:
    """A model in sentences: `name` as the agent has it, `host` if known, and what a person may have to correct.

    `key` is how its key is named and changed, `endpoint` what names another endpoint (empty: nothing does), `proxy` the
    proxy on the way, and `silent_s` how long it may say nothing.
    """

    name: str
    host: str
    key: str
    endpoint: str
    proxy: str
    silent_s: float

    @property
    def where(self) -> str:
        """The model, and where it was asked."""
        return f"the model {self.name} at {self.host}" if self.host else f"the model {self.name}"


def translate_failure(error: Exception, asked: AskedModel) -> ModelFailed | ModelBusy:
    """What `error`, raised by the library, comes to."""
    if isinstance(error, ModelFailed | ModelBusy):
        return error
    if (no_answer := next((cause for cause in _causes(error) if isinstance(cause, NoAnswer)), None)) is not None:
        return _of_no_answer(no_answer, asked)
    return _of_library(error, asked)


def _of_library(error: Exception, asked: AskedModel) -> ModelFailed | ModelBusy:
    from pydantic_ai.exceptions import AgentRunError, ModelAPIError, UserError  # noqa: PLC0415 - loaded

    match error:
        case ModelAPIError():
            return _of_api(error, asked)
        case UserError():
            if NO_REGION in str(error):
                return ModelFailed(f"{asked.where} needs a region: {SET_REGION}")
            told = clean_words(str(error).partition(KEYLESS_HINT)[0])
            return ModelFailed(f"{asked.where} cannot be used: {told}")
        case AgentRunError() if str(error).startswith(EMPTY_STREAM):
            return ModelBusy(f"{asked.where} ended its answer before the first word")
        case AgentRunError():
            return ModelFailed(f"{asked.where} gave an answer that makes no sense: {clean_words(error)}")
        case _ if any(type(cause).__name__ in SILENCES for cause in _causes(error)):
            return silence_of(asked)
        case _:
            # The library's other failures would do the same again; let out, each would look like a runner that died.
            structlog.get_logger().exception("model_library_failed", model=asked.name)
            return ModelFailed(f"{asked.where} cannot be used: {clean_words(f'{type(error).__name__}: {error}')}")


def _of_api(error: "ModelAPIError", asked: AskedModel) -> ModelFailed | ModelBusy:
    from pydantic_ai.exceptions import (  # noqa: PLC0415 - loaded
        ModelAuthenticationError,
        ModelHTTPError,
        ModelNotFoundError,
        ModelQuotaExceededError,
        ModelRequestRejectedError,
    )

    status = error.status_code if isinstance(error, ModelHTTPError) else None
    number = f" (status {status})" if status else ""
    words = f"{asked.where} answered {_in_full(status)}: {clean_words(_said(error))}"
    if status == HTTPStatus.FORBIDDEN:  # the key, or what it may not, or the country, or a wall before the provider
        return ModelFailed(f"{words}; it was asked with the key {asked.key}")
    if isinstance(error, ModelAuthenticationError) or status == HTTPStatus.UNAUTHORIZED:
        return ModelFailed(f"{asked.where} refuses the key{number} {asked.key}")  # its own words hold parts of the key
    if isinstance(error, ModelNotFoundError) or status == HTTPStatus.NOT_FOUND:
        ways = f"the agent's model{f' and {asked.endpoint}' if asked.endpoint else ''}"
        told = f", {clean_words(_said(error))}" if error.body else ""
        return ModelFailed(f"{asked.where} is not there{number}{told}: check {ways}")
    if isinstance(error, ModelQuotaExceededError) or getattr(error, "provider_retry_hint", None) is False:
        return ModelFailed(words)
    if _is_busy(error, status):
        return ModelBusy(words, wait_s=error.retry_after)
    if status is not None or isinstance(error, ModelRequestRejectedError):
        return (ContextTooLong if _is_too_long(error, status) else ModelFailed)(words)
    return _of_connection(error, asked)


def _is_too_long(error: "ModelAPIError", status: int | None) -> bool:
    """Whether a shorter conversation may be answered; the library does not know the words of every server."""
    from pydantic_ai.exceptions import ModelContextWindowExceededError  # noqa: PLC0415 - loaded

    is_said = isinstance(error, ModelContextWindowExceededError) or status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    return is_said or TOO_LONG.search(str(_said(error))) is not None


def _is_busy(error: "ModelAPIError", status: int | None) -> bool:
    from pydantic_ai.exceptions import (  # noqa: PLC0415 - loaded
        ModelRateLimitError,
        ModelServerError,
        ModelUnavailableError,
    )

    is_status = status is not None and (status in TRANSIENT or status >= HTTPStatus.INTERNAL_SERVER_ERROR)
    return is_status or isinstance(error, ModelRateLimitError | ModelServerError | ModelUnavailableError)


def _of_connection(error: "ModelAPIError", asked: AskedModel) -> ModelFailed | ModelBusy:
    causes = list(_causes(error))
    if any(type(cause).__name__ in SILENCES for cause in causes):
        return silence_of(asked)
    if isinstance(causes[-1], json.JSONDecodeError):
        return ModelBusy(f"{asked.where} broke its answer off: a piece of it is no JSON ({clean_words(causes[-1])})")
    if isinstance(causes[-1], UnicodeDecodeError):
        return ModelBusy(f"{asked.where} broke its answer off: a piece of it is no UTF-8 ({clean_words(causes[-1])})")
    if any(type(cause).__name__ in UNREADABLE for cause in causes):
        return ModelFailed(f"{asked.where} answers what cannot be read: {clean_words(causes[-1])}")
    if (said := next((body for cause in causes if (body := getattr(cause, "body", None))), None)) is not None:
        return ModelBusy(f"{asked.where} answered with an error: {clean_words(_words_of(said))}")
    way = f" through the proxy {asked.proxy}" if asked.proxy else ""
    # A certificate that is not trusted now will not be in a minute either.
    kind = ModelFailed if isinstance(causes[-1], ssl.SSLCertVerificationError) else ModelBusy
    return kind(f"{asked.where} cannot be reached{way}: {clean_words(_told_by(causes[-1]))}")


def _of_no_answer(no_answer: NoAnswer, asked: AskedModel) -> ModelFailed | ModelBusy:
    """What is said of an answer that is none: its own words where it has any, else what to correct."""
    status = no_answer.status
    if no_answer.body is None:
        ways = f"; check {asked.endpoint}" if asked.endpoint else ""
        return ModelFailed(f"{asked.where} {no_answer.sentence}{ways}")
    said = clean_words(_words_of(no_answer.body))
    is_busy = status is not None and (status in TRANSIENT or status >= HTTPStatus.INTERNAL_SERVER_ERROR)
    number = f" {_in_full(status)}" if status else ""
    return (ModelBusy if is_busy else ModelFailed)(f"{asked.where} {no_answer.sentence}{number}: {said}")


def _told_by(cause: BaseException) -> object:
    """What it says for people: gRPC puts that into its details, among much else."""
    details = getattr(cause, "details", None)
    return (details() if callable(details) else None) or cause


def silence_of(asked: AskedModel) -> ModelBusy:
    """What a model comes to that has not said its next word in time."""
    return ModelBusy(f"{asked.where} has said nothing for {span(asked.silent_s)} ({SILENT_FOR})")


def clean_words(words: object) -> str:
    """A provider's words on one line, without secrets, and not too many of them."""
    text = redact_sentence(" ".join(str(words).split()))
    return text[:DETAIL_CHARS_MAX] or type(words).__name__


def _said(error: "ModelAPIError") -> object:
    """The provider's own words in the usual shape, or all of them."""
    body = _words_of(error.body)
    return body or ("no reason given" if hasattr(error, "status_code") else error.message)


def _words_of(body: object) -> object:
    """The words in what a provider sent."""
    body = _read_json(body)
    if isinstance(body, list) and body:  # Google's, where it answers a stream
        body = body[0]
    if isinstance(body, dict):
        inner = body.get("error") or body.get("Error") or body  # AWS writes capitals
        return (inner.get("message") or inner.get("Message") or inner) if isinstance(inner, dict) else inner
    return _read_page(body) if isinstance(body, str) and body.lstrip().startswith("<") else body


def _read_page(page: str) -> str:
    """What a page says: its title, else its text."""
    title = re.search(r"(?is)<title[^>]*>(.*?)</title>", page[:PAGE_CHARS_MAX])
    text = title[1] if title and title[1].strip() else re.sub(r"(?s)<[^<>]*>", " ", page[:PAGE_CHARS_MAX])
    return f"a page, {html.unescape(text).strip()!r}" if text.strip() else "a page"


def _read_json(body: object) -> object:
    """Some libraries hand the body over as it came."""
    if not isinstance(body, str | bytes):
        return body
    try:
        return json.loads(body)
    except ValueError:
        return body.decode(errors="replace") if isinstance(body, bytes) else body


def _in_full(status: int | None) -> str:
    """`429 Too Many Requests`; only the number where it has no name (529)."""
    try:
        return "with an error" if status is None else f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """`error`, and what it was raised from, the innermost last."""
    found: BaseException | None = error
    while found is not None and not isinstance(found, asyncio.CancelledError):
        yield found
        found = found.__cause__
