"""What `foreach` does with each event or message that a task takes: its tasks, its output, its export."""

from collections.abc import Mapping
from typing import cast

from stigmer_cli.workflow.interpreter.run import Flow, Run, Visit
from stigmer_cli.workflow.interpreter.schema import Checked, check_schema
from stigmer_cli.workflow.interpreter.sequence import run_list
from stigmer_cli.workflow.json_value import Json, Path
from stigmer_cli.workflow.task import list_tasks


class Iteration:
    """Without `foreach` it does nothing, and an item stays as it is."""

    def __init__(self, run: Run, visit: Visit, foreach: Json, path: Path) -> None:
        """`path` is where `foreach` stands in the document."""
        self._run, self._visit, self._path = run, visit, path
        self._each = cast("Mapping[str, Json]", foreach or {})

    async def run(self, number: int, item: Json) -> Flow:
        """What becomes of the item with this number, as an item of the task's output."""
        visit, each = self._visit, self._each
        scope = visit.scope.bind(**{str(each.get("item", "item")): item, str(each.get("at", "index")): number})
        place = f"{visit.key}/foreach/{number}"
        flow = Flow(output=item)
        if "do" in each:
            tasks = list_tasks(each["do"], (*self._path, "do"))
            flow = await run_list(self._run, tasks, f"{place}/do", item, scope)
        output = flow.output
        if (template := _read_part(each, "output")) is not None:
            output = await self._run.transform(template, output, scope)
        checked = Checked(value=output, what="output of an item", key=f"{place}/output", scope=scope)
        await check_schema(self._run, each.get("output"), checked)
        if (template := _read_part(each, "export")) is not None:
            context = await self._run.transform(template, output, scope.bind(output=output))
            checked = Checked(value=context, what="context", key=f"{place}/export", scope=scope)
            await check_schema(self._run, each.get("export"), checked)
            scope.context.value = context
        return Flow(output=output, directive=flow.directive)


def _read_part(each: Mapping[str, Json], word: str) -> Json:
    part = each.get(word)
    return part.get("as") if isinstance(part, Mapping) else None
