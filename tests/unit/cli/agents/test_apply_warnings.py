"""What an agent needs and does not have is said when it is applied."""

from datetime import UTC, datetime

from stigmer_cli.api.agent_spec import AgentSpecBody
from stigmer_cli.api.resources import AgentResource
from stigmer_cli.cli.agents.apply_warnings import find_missing_libraries, find_missing_secrets
from stigmer_cli.domain.model_provider import PROVIDERS
from stigmer_cli.extras import is_installed


def agent(slug: str, model: str, **headers: str) -> AgentResource:
    tools = [{"mcp": {"url": "https://tools.example/mcp", "headers": headers}}] if headers else []
    now = datetime(2026, 1, 1, tzinfo=UTC).isoformat()
    return AgentResource.model_validate(
        {
            "apiVersion": "stigmer.ai/v1",
            "kind": "Agent",
            "metadata": {"slug": slug, "name": slug, "id": f"agt-{slug}", "createdAt": now, "updatedAt": now},
            "spec": AgentSpecBody.model_validate({"model": model, "tools": tools}).to_wire(),
        }
    )


def test_a_secret_that_is_not_there_is_named_with_who_needs_it() -> None:
    agents = [agent("a", "echo", Auth="Bearer ${secrets.TOKEN}"), agent("b", "ollama:x", Auth="${secrets.TOKEN}")]
    assert list(find_missing_secrets(agents, {"OTHER"}, lambda _: False)) == [
        "there is no secret TOKEN, which a, b will need: stigmer secrets set TOKEN"
    ]
    assert list(find_missing_secrets(agents, {"TOKEN"}, lambda _: False)) == []


def test_a_key_that_neither_a_secret_nor_this_shell_has_is_named() -> None:
    agents = [agent("a", "anthropic:x"), agent("b", "anthropic:y"), agent("c", "google:z")]
    (line,) = find_missing_secrets(agents, {"GEMINI_API_KEY"}, lambda _: False)
    assert line.startswith("there is no secret ANTHROPIC_API_KEY, which the model of a, b needs unless the runner was")
    assert list(find_missing_secrets(agents, set(), lambda _: True)) == []


def test_a_library_that_is_not_installed_is_named_with_its_extra() -> None:
    missing = next(provider for provider in PROVIDERS.values() if not is_installed(provider.library))
    (line,) = find_missing_libraries([agent("a", f"{missing.name}:x"), agent("b", f"{missing.name}:y")])
    assert f"pip install 'stigmer-cli[{missing.extra}]'" in line
    assert list(find_missing_libraries([agent("a", "openai:x"), agent("b", "echo")])) == []
