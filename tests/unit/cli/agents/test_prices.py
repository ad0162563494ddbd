"""Money is limited only where it can be counted."""

import pytest

from stigmer_cli.api.resources import AgentManifest
from stigmer_cli.cli.agents.prices import refuse_unpriced
from stigmer_cli.errors import ConfigError


def manifest(model: str, **limits: float) -> AgentManifest:
    spec = {"model": model, "limits": limits or None}
    return AgentManifest.model_validate(
        {"apiVersion": "agentic.stigmer.ai/v1", "kind": "Agent", "metadata": {"name": "a"}, "spec": spec}
    )


def test_a_limit_of_money_needs_a_model_whose_price_is_known() -> None:
    with pytest.raises(ConfigError, match="agent a: the price of the model ollama:llama3 is not known"):
        refuse_unpriced([manifest("ollama:llama3", money=1)], has_endpoint=False)
    refuse_unpriced([manifest("anthropic:claude-sonnet-5", money=1)], has_endpoint=False)
    refuse_unpriced([manifest("ollama:llama3", tokens=5), manifest("echo", money=1)], has_endpoint=False)
    refuse_unpriced([manifest("openai:my-llama", money=1)], has_endpoint=True)
