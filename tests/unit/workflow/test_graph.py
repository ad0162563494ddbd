"""The flowchart and the tree of a workflow."""

from stigmer_cli.workflow.document import Workflow, read_workflows
from stigmer_cli.workflow.mermaid import draw_mermaid
from stigmer_cli.workflow.picture import draw_tree

ORDER = """
document: {dsl: '1.0.3', namespace: shop, name: order-pet, version: '1.0.0'}
do:
  - sort:
      switch:
        - digital: {when: .kind == "digital", then: deliver}
        - other: {then: ship}
  - deliver: {call: http, with: {method: post, endpoint: https://example.com}, then: end}
  - ship:
      try:
        - pack:
            fork:
              branches:
                - box: {set: {box: 1}}
                - label:
                    do:
                      - print: {wait: PT1S}
                      - stick: {set: {x: 1}, then: exit}
                      - never: {raise: {error: {type: 'https://x', status: 400}}}
      catch:
        do:
          - apologise: {set: {sorry: true}}
  - bye: {if: .a == 1, run: {shell: {command: ls}}}
"""

TREE = """
shop/order-pet 1.0.0
├─ sort  switch
│     .kind == "digital" → deliver
│     otherwise → ship
├─ deliver  call http  → end
├─ ship  try
│  ├─ try:
│  │  └─ pack  fork
│  │     ├─ box  set
│  │     └─ label  do
│  │        ├─ print  wait
│  │        ├─ stick  set  → the end of this list
│  │        └─ never  raise
│  └─ catch:
│     └─ apologise  set
└─ bye  run shell
      if .a == 1
"""

MERMAID = """
flowchart TD
    start([start])
    t0["sort: switch"]
    t1["deliver: call http"]
    subgraph t2["ship: try"]
        subgraph t2try["try"]
            subgraph t3["pack: fork"]
                t4["box: set"]
                subgraph t5["label: do"]
                    t6["print: wait"]
                    t7["stick: set"]
                    t8["never: raise"]
                    t6 --> t7
                end
            end
        end
        subgraph t2catch["catch"]
            t9["apologise: set"]
        end
        t2try -.->|"error"| t2catch
    end
    t10["bye: run shell"]
    t0 -->|".kind == #quot;digital#quot;"| t1
    t0 -->|"otherwise"| t2
    t1 --> finish
    t2 --> t10
    t10 --> finish
    finish([end])
    start --> t0
"""


def _read(text: str) -> Workflow:
    [found] = read_workflows("w.yaml", text)
    assert isinstance(found, Workflow)
    return found


def test_the_tree_shows_each_task_in_its_place_and_each_jump() -> None:
    assert "\n".join(draw_tree(_read(ORDER))) == TREE.strip()


def test_the_flowchart_has_an_arrow_for_each_way_on() -> None:
    assert draw_mermaid(_read(ORDER)).strip() == MERMAID.strip()


def test_a_workflow_without_tasks_goes_from_start_to_end() -> None:
    empty = _read("document: {dsl: '1.0.3', namespace: a, name: b, version: '1.0.0'}\ndo: []\n")
    assert "    start --> finish\n" in draw_mermaid(empty)
    assert draw_tree(empty) == ["a/b 1.0.0"]


def test_tasks_of_one_name_are_drawn_each_in_its_place() -> None:
    twice = _read(
        "document: {dsl: '1.0.3', namespace: a, name: b, version: '1.0.0'}\n"
        "do: [{wait: {wait: PT1S}}, {go: {set: {x: 1}}}, {wait: {wait: PT2S}}]\n"
    )
    assert draw_tree(twice) == ["a/b 1.0.0", "├─ wait  wait", "├─ go  set", "└─ wait  wait"]
    assert "    t0 --> t1\n    t1 --> t2\n    t2 --> finish\n" in draw_mermaid(twice)
