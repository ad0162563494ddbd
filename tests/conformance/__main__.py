"""`python -m tests.conformance [CHECKOUT]`: runs the kit and the examples of a checkout of the specification.

CHECKOUT has the folders `ctk/features` and `examples`; without it, `../shared/open-workflow` beside this project is
taken, if that is there. The scenarios run through the installed command, on a stack of its own, whose environment leads
each request to stubs on loopback. Each example is checked, and runs if it can (`examples.py`). Exit code 1: a scenario
does not pass, or an example is not valid, or does not end as it has to.
"""

import asyncio
import sys
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.conformance.check import check_scenario, run_workflow
from tests.conformance.examples import NOT_RUN_OUTCOME, find_forgotten, run_examples
from tests.conformance.feature import read_features
from tests.conformance.hosts import stubbed_hosts
from tests.conformance.stack import started_stack

BESIDE = Path(__file__).parents[2].parent / "shared" / "open-workflow"


async def run_kit(folder: Path) -> int:
    """Print a line for each scenario; returns how many do not pass."""
    scenarios = read_features(folder)
    failed = 0
    with TemporaryDirectory(prefix="stigmer-kit-") as name, stubbed_hosts(Path(name)) as environment:
        async with started_stack(Path(name), environment) as stigmer:
            for scenario in scenarios:
                problem = await check_scenario(scenario, partial(run_workflow, stigmer))
                failed += bool(problem)
                print(f"{'FAIL' if problem else 'pass'}  {scenario.feature:10}  {scenario.name}", flush=True)
                if problem:
                    print(f"      {problem}")
    print(f"conformance: {len(scenarios) - failed} of {len(scenarios)} scenarios pass")
    return failed or not scenarios


def check_examples(folder: Path) -> int:
    """Print a line for each example; returns how many are not valid, or did not end as they have to."""
    examples = run_examples(folder)
    for example in examples:
        print(f"{example.verdict:4}  {example.name:48}  {example.outcome:24}  {example.remark}".rstrip())
        for problem in example.problems:
            print(f"      {problem}")
    forgotten = find_forgotten(examples)
    for name in forgotten:
        print(f"FAIL  {name:48}  there is no such example")
    valid = sum(not example.problems for example in examples)
    idle = sum(example.outcome == NOT_RUN_OUTCOME for example in examples)
    print(f"examples: {valid} of {len(examples)} are valid; {valid - idle} ran, {idle} need what is not here")
    return sum(not example.is_well for example in examples) + len(forgotten) or not examples


def main() -> int:
    """Run both; 0 if all is well, or if there is no checkout."""
    checkout = Path(sys.argv[1]) if len(sys.argv) > 1 else BESIDE
    if len(sys.argv) <= 1 and not checkout.is_dir():
        print(
            "CONFORMANCE WAS NOT RUN: there is no checkout of the specification (python -m tests.conformance CHECKOUT)"
        )
        return 0
    failed = asyncio.run(run_kit(checkout / "ctk" / "features"))
    wrong = check_examples(checkout / "examples")
    return 1 if failed or wrong else 0


if __name__ == "__main__":
    sys.exit(main())
