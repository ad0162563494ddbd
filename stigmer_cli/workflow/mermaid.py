"""A workflow as the text of a Mermaid flowchart."""

from collections.abc import Iterator, Sequence
from itertools import count

from stigmer_cli.workflow.document import Workflow
from stigmer_cli.workflow.flow import list_transitions
from stigmer_cli.workflow.task import Task, list_tasks

LABEL_MAX = 80
INDENT = "    "
START = "start"
END = "finish"


def draw_mermaid(workflow: Workflow) -> str:
    """The flowchart: a node for each task, a subgraph for each that has tasks in it."""
    tasks = list_tasks(workflow.data["do"], ("do",))
    return "\n".join(["flowchart TD", *_Drawing().draw(tasks)]) + "\n"


class _Drawing:
    def __init__(self) -> None:
        self._numbers = count()

    def draw(self, tasks: Sequence[Task]) -> Iterator[str]:
        yield f"{INDENT}{START}([start])"
        ids: list[str] = []
        yield from self._draw_list(tasks, INDENT, ids)
        yield f"{INDENT}{END}([end])"
        yield f"{INDENT}{START} --> {ids[0] if tasks else END}"

    def _draw_list(self, tasks: Sequence[Task], indent: str, ids: list[str]) -> Iterator[str]:
        for task in tasks:
            ids.append(f"t{next(self._numbers)}")
            yield from self._draw_task(task, ids[-1], indent)
        is_root = indent == INDENT
        for transition in list_transitions(tasks):
            arrow = f' -->|"{_quote(transition.label)}"| ' if transition.label else " --> "
            if transition.target is not None:
                yield f"{indent}{ids[transition.source]}{arrow}{ids[transition.target]}"
            elif is_root or transition.is_end:
                yield f"{indent}{ids[transition.source]}{arrow}{END}"

    def _draw_task(self, task: Task, identity: str, indent: str) -> Iterator[str]:
        inner = list(task.list_inner())
        title = _quote(f"{task.name}: {describe_task(task)}")
        if not inner:
            yield f'{indent}{identity}["{title}"]'
            return
        yield f'{indent}subgraph {identity}["{title}"]'
        for word, tasks in inner:
            if len(inner) == 1:
                yield from self._draw_inner(tasks, word, indent + INDENT)
                continue
            yield f'{indent}{INDENT}subgraph {identity}{word}["{word}"]'
            yield from self._draw_inner(tasks, word, indent + INDENT * 2)
            yield f"{indent}{INDENT}end"
        if len(inner) > 1:
            yield f'{indent}{INDENT}{identity}{inner[0][0]} -.->|"error"| {identity}{inner[1][0]}'
        yield f"{indent}end"

    def _draw_inner(self, tasks: Sequence[Task], word: str, indent: str) -> Iterator[str]:
        if word == "branches":  # they run at the same time: no arrow between them
            for task in tasks:
                yield from self._draw_task(task, f"t{next(self._numbers)}", indent)
        else:
            yield from self._draw_list(tasks, indent, [])


def describe_task(task: Task) -> str:
    """The kind of a task, with what it calls or runs: `call http`."""
    body = task.body
    if isinstance(body, str) and task.kind == "call":
        return f"{task.kind} {body}"
    if isinstance(body, dict) and task.kind == "run":
        return f"{task.kind} {next((key for key in ('container', 'script', 'shell', 'workflow') if key in body), '')}"
    return str(task.kind)


def _quote(text: str) -> str:
    line = " ".join(text.split())
    line = line if len(line) <= LABEL_MAX else f"{line[: LABEL_MAX - 1]}…"
    return line.replace("#", "#35;").replace('"', "#quot;").replace("<", "#lt;").replace(">", "#gt;")
