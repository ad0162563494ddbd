"""The parameters that select executions, as the API describes them."""

from fastapi import FastAPI

from stigmer_cli.server.routes.executions import router


def test_each_parameter_of_the_list_is_described_once() -> None:
    app = FastAPI()
    app.include_router(router)
    [described] = [
        path["get"]["parameters"] for name, path in app.openapi()["paths"].items() if name == "/v1/executions"
    ]
    names = "phase kind agent workflow session olderThanS label search since until waiting stuck judged count limit"
    names += " cursor"
    assert sorted(one["name"] for one in described) == sorted(names.split())
    assert all(one.get("description") for one in described if one["name"] in {"label", "search", "since", "until"})
