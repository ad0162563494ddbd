"""Metrics of models: a bounded number of names, whatever runners report."""

from stigmer_cli.domain.execution import TokenUsage
from stigmer_cli.server.metrics import MODELS_MAX, Metrics


def _value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


def test_tokens_and_cost_are_counted_by_model() -> None:
    metrics = Metrics()
    for cost in (0.5, None):
        metrics.models.record_usage(TokenUsage(model="a", input_tokens=3, output_tokens=2, cost=cost))
    assert _value(metrics, "stigmer_model_tokens_total", model="a", direction="input") == 6
    assert _value(metrics, "stigmer_model_tokens_total", model="a", direction="output") == 4
    assert _value(metrics, "stigmer_model_cost_dollars_total", model="a") == 0.5


def test_turns_and_calls_of_tools_are_counted_also_where_no_tokens_are() -> None:
    metrics = Metrics()
    metrics.models.record_usage(TokenUsage(model="echo", turns=1, cost=0.0))
    metrics.models.record_usage(TokenUsage(model="", tool_calls=2, cost=0.0))
    assert _value(metrics, "stigmer_model_turns_total", model="echo") == 1
    assert _value(metrics, "stigmer_tool_calls_total") == 2
    assert _value(metrics, "stigmer_model_turns_total", model="") is None


def test_models_after_the_first_ones_are_counted_together() -> None:
    metrics = Metrics()
    for number in range(MODELS_MAX + 5):
        metrics.models.record_usage(TokenUsage(model=f"m{number}", input_tokens=1))
    metrics.models.record_usage(TokenUsage(model="m0", input_tokens=1))
    assert _value(metrics, "stigmer_model_tokens_total", model="m0", direction="input") == 2
    assert _value(metrics, "stigmer_model_tokens_total", model="other", direction="input") == 5
    assert _value(metrics, "stigmer_model_tokens_total", model=f"m{MODELS_MAX}", direction="input") is None
