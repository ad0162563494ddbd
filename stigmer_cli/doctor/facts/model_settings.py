"""What the runner was given for the models that it asks."""

from stigmer_cli.doctor.facts.facts import Facts
from stigmer_cli.stack.settings_record import RUNNER, Given, given_to

KEY, URL = "openai_api_key", "openai_base_url"


def provider_given(facts: Facts) -> tuple[Given, Given]:
    """The key and the endpoint for models that the runner was given; what this shell says where that is not known."""
    record = facts.given if facts.endpoints is not None else None
    found = record.parts.get(RUNNER) if record else None
    if found is None:
        found = given_to(RUNNER, facts.shell, "")
    return found.get(KEY, Given()), found.get(URL, Given())
