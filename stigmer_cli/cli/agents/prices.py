"""Whether the price of a model is known, for agents whose money is limited."""

from collections.abc import Sequence

from stigmer_cli.api.resources import AgentManifest
from stigmer_cli.domain.model_provider import OPENAI, describe_unknown_price, find_provider
from stigmer_cli.errors import ConfigError


def refuse_unpriced(manifests: Sequence[AgentManifest], *, has_endpoint: bool) -> None:
    """Raise ConfigError for a limit of money that could not be counted.

    `has_endpoint`: `openai:` models are asked elsewhere; the runner knows then whether they have a price.
    """
    for manifest in manifests:
        spec = manifest.spec
        provider = find_provider(spec.model)
        if spec.limits is None or spec.limits.money is None or provider is None:
            continue
        if has_endpoint and provider.key == OPENAI.key:
            continue
        if not _is_priced(provider.name, spec.model.partition(":")[2]):
            raise ConfigError(
                f"agent {manifest.metadata.name}: {describe_unknown_price(spec.model)}", hint="stigmer help tools"
            )


def _is_priced(provider: str, model: str) -> bool:
    from genai_prices import Usage, calc_price  # noqa: PLC0415 - a second, for those who limit money

    try:
        calc_price(Usage(input_tokens=1, output_tokens=1), model, provider_id=provider)
    except LookupError:
        return False
    return True
