"""The runner of the conformance kit: that it passes what holds, and fails what does not."""

from pathlib import Path

from tests.conformance.check import check_scenario
from tests.conformance.feature import read_features
from tests.conformance.hosts import stubbed_hosts

FEATURE = '''Feature: Greet

  Scenario: Greet somebody
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: default, name: greet, version: '1.0.0'}
    do:
      - first:
          set: {hello: {who: "${ .who }"}}
      - second:
          call: http
          with: {method: get, endpoint: 'https://petstore.swagger.io/v2/pet/PET'}
          if: .hello.who == "pet"
    """
    And given the workflow input is:
    """yaml
    who: WHO
    """
    When the workflow is executed
    EXPECTED
'''

EXPECTATIONS = (
    ("Then the workflow should complete", "Tintin", ""),
    ("Then the workflow should complete", "pet", "it faulted"),
    ("Then the workflow should fault", "pet", ""),
    ("Then the workflow should fault", "Tintin", "it completed with"),
    ("And the workflow output should have properties 'hello', 'hello.who'", "Tintin", ""),
    ("And the workflow output should have properties 'hello.whom'", "Tintin", "missing: ['hello.whom']"),
    ("And first should run first", "Tintin", ""),
    ("And second should run first", "Tintin", "the order was ['first']"),
    ("And second should run after first", "pet", ""),
    ("And second should run before first", "pet", "the order was"),
    ("And second should fault", "pet", ""),
    ("And first should cancel", "pet", "it is completed"),
    ("And the moon should rise", "pet", "does not know that step"),
)


async def test_an_expectation_passes_if_it_holds_and_only_then(tmp_path: Path) -> None:
    with stubbed_hosts() as transport:
        for expected, who, problem in EXPECTATIONS:
            text = FEATURE.replace("EXPECTED", expected).replace("WHO", who).replace("PET", "99")
            (tmp_path / "greet.feature").write_text(text)
            [scenario] = read_features(tmp_path)
            assert (scenario.feature, scenario.name) == ("greet", "Greet somebody")
            said = await check_scenario(scenario, transport)
            assert (problem in said) if problem else not said, (expected, who, said)
