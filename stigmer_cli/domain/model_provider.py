"""The providers of models, by the name that a model begins with (`anthropic:NAME`): key, endpoint, and library."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Provider:
    """A provider, under the name that pydantic-ai has for it.

    `key` is the variable, or the secret, that holds its key; `other_keys` are older names of it. `needs_key` is False
    where there is another way in, or none is needed. `url` is the variable that names another endpoint, and
    `url_default` the endpoint if it is not set. `library` is the package that asks it; it comes with the extra `extra`,
    or with Stigmer itself if that is empty. `library_name` is pydantic-ai's name, where that is another one.
    """

    name: str
    key: str
    other_keys: tuple[str, ...] = ()
    needs_key: bool = True
    url: str = ""
    url_default: str = ""
    extra: str = ""
    library: str = "openai"
    library_name: str = ""

    @property
    def keys(self) -> tuple[str, ...]:
        """The names under which its key is looked for, the first that is set counts."""
        return (self.key, *self.other_keys)


OPENAI = Provider(name="openai", key="OPENAI_API_KEY", url="OPENAI_BASE_URL", library_name="openai-chat")
"""The API for chat completions, which many other endpoints have, too."""

_ALL = (
    OPENAI,
    Provider(name="openai-chat", key="OPENAI_API_KEY", url="OPENAI_BASE_URL"),
    Provider(name="openai-responses", key="OPENAI_API_KEY", url="OPENAI_BASE_URL"),
    Provider(
        name="anthropic", key="ANTHROPIC_API_KEY", url="ANTHROPIC_BASE_URL", extra="anthropic", library="anthropic"
    ),
    Provider(
        name="google",
        key="GOOGLE_API_KEY",
        other_keys=("GEMINI_API_KEY",),
        url="GOOGLE_GEMINI_BASE_URL",
        extra="google",
        library="google.genai",
    ),
    Provider(name="google-cloud", key="GOOGLE_API_KEY", needs_key=False, extra="google", library="google.genai"),
    Provider(name="bedrock", key="AWS_BEARER_TOKEN_BEDROCK", needs_key=False, extra="bedrock", library="boto3"),
    Provider(name="mistral", key="MISTRAL_API_KEY", extra="mistral", library="mistralai"),
    Provider(name="cohere", key="CO_API_KEY", url="CO_BASE_URL", extra="cohere", library="cohere"),
    Provider(name="groq", key="GROQ_API_KEY", url="GROQ_BASE_URL", extra="groq", library="groq"),
    Provider(name="huggingface", key="HF_TOKEN", extra="huggingface", library="huggingface_hub"),
    Provider(name="xai", key="XAI_API_KEY", extra="xai", library="xai_sdk"),
    Provider(
        name="ollama",
        key="OLLAMA_API_KEY",
        needs_key=False,
        url="OLLAMA_BASE_URL",
        url_default="http://127.0.0.1:11434/v1",
    ),
    Provider(
        name="vllm", key="VLLM_API_KEY", needs_key=False, url="VLLM_BASE_URL", url_default="http://127.0.0.1:8000/v1"
    ),
    Provider(name="alibaba", key="ALIBABA_API_KEY", other_keys=("DASHSCOPE_API_KEY",)),
    Provider(name="azure", key="AZURE_OPENAI_API_KEY", url="AZURE_OPENAI_ENDPOINT"),
    Provider(name="azure-responses", key="AZURE_OPENAI_API_KEY", url="AZURE_OPENAI_ENDPOINT"),
    Provider(name="cerebras", key="CEREBRAS_API_KEY"),
    Provider(name="crusoe", key="CRUSOE_API_KEY"),
    Provider(name="deepseek", key="DEEPSEEK_API_KEY"),
    Provider(name="fireworks", key="FIREWORKS_API_KEY"),
    Provider(name="heroku", key="HEROKU_INFERENCE_KEY", url="HEROKU_INFERENCE_URL"),
    Provider(name="meta", key="META_API_KEY"),
    Provider(name="moonshotai", key="MOONSHOTAI_API_KEY", url="MOONSHOTAI_BASE_URL"),
    Provider(name="nebius", key="NEBIUS_API_KEY"),
    Provider(name="openrouter", key="OPENROUTER_API_KEY"),
    Provider(name="ovhcloud", key="OVHCLOUD_API_KEY"),
    Provider(name="sambanova", key="SAMBANOVA_API_KEY", url="SAMBANOVA_BASE_URL"),
    Provider(name="snowflake", key="SNOWFLAKE_TOKEN"),
    Provider(name="together", key="TOGETHER_API_KEY"),
    Provider(name="vercel", key="VERCEL_AI_GATEWAY_API_KEY", other_keys=("VERCEL_OIDC_TOKEN",)),
    Provider(name="zai", key="ZAI_API_KEY"),
)

PROVIDERS: Mapping[str, Provider] = {provider.name: provider for provider in _ALL}
"""By name."""

MEANT: Mapping[str, str] = {
    "claude": "anthropic",
    "gemini": "google",
    "google-gla": "google",
    "google-vertex": "google-cloud",
    "gpt": "openai",
    "grok": "xai",
}
"""What people write instead of a provider's name."""


def find_provider(model: str) -> Provider | None:
    """The provider of `model`; None for a model that no provider has."""
    name, colon, _ = model.partition(":")
    return PROVIDERS.get(name) if colon else None


def describe_unknown_price(model: str) -> str:
    """The sentence for a model whose money is limited, and whose price nobody knows."""
    return (
        f"the price of the model {model} is not known, so that spec.limits.money cannot be counted: use"
        " spec.limits.tokens instead"
    )


def describe_missing_library(provider: Provider) -> str:
    """The sentence for a machine that cannot ask `provider`, with what to install."""
    package = f"'stigmer-cli[{provider.extra}]'" if provider.extra else provider.library
    return (
        f"{provider.name}: models need a library that is not installed: pip install {package},"
        " where the runner is installed, then stigmer restart runner"
    )
