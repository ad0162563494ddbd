"""Events reach the workflows that listen for them, each once, whatever is killed or forgotten in between."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.support.installed import Stigmer, installed
from tests.support.polling import wait_until

WORKFLOW: dict[str, Any] = {
    "document": {"dsl": "1.0.3", "namespace": "test", "name": "review", "version": "1.0.0"},
    "do": [
        {
            "reviews": {
                "listen": {
                    "to": {
                        "any": [{"with": {"type": "review", "data": {"pr": "${ .pr }"}}}],
                        "until": {"one": {"with": {"type": "merged", "data": {"pr": "${ .pr }"}}}},
                    }
                },
                "foreach": {
                    "do": [{"thank": {"emit": {"event": {"with": {"type": "thanks", "data": "${ .by }"}}}}}],
                    "output": {"as": ".data"},
                },
            }
        }
    ],
}


@pytest.fixture(scope="module")
def stigmer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stigmer]:
    with installed(tmp_path_factory.mktemp("events") / "home") as one:
        one.ok("up")
        post(one, "/v1/workflows:apply", {"items": [{"spec": WORKFLOW}]})
        yield one


def post(stigmer: Stigmer, path: str, body: object) -> dict[str, Any]:
    token = (stigmer.home / "token").read_text().strip()
    base = f"http://127.0.0.1:{stigmer.environment['STIGMER_SERVER_PORT']}"
    answer = httpx.post(f"{base}{path}", json=body, headers={"authorization": f"Bearer {token}"}, timeout=30)
    assert answer.is_success, answer.text
    found: dict[str, Any] = answer.json()
    return found


def begin(stigmer: Stigmer, pr: int) -> str:
    id_ = str(post(stigmer, "/v1/executions", {"workflow": "review", "input": {"pr": pr}})["metadata"]["id"])
    wait_until(lambda: listens(stigmer, id_), within_s=30)
    return id_


def listens(stigmer: Stigmer, id_: str) -> bool:
    return bool((stigmer.json("executions", "get", id_)["status"].get("waiting") or {}).get("for") == "event")


def emit(stigmer: Stigmer, type_: str, pr: int, by: str = "") -> None:
    stigmer.ok("events", "emit", type_, "--data", json.dumps({"pr": pr, "by": by}), "--id", f"{type_}-{pr}-{by}")


def end_of(stigmer: Stigmer, id_: str) -> tuple[str, object]:
    def has_ended() -> bool:
        return bool(stigmer.json("executions", "get", id_)["status"]["phase"] in ("COMPLETED", "FAILED", "CANCELLED"))

    wait_until(has_ended, within_s=60)
    status = stigmer.json("executions", "get", id_)["status"]
    return status["phase"], status["output"]


@pytest.mark.slow
def test_an_event_reaches_who_listens_whatever_is_killed_in_between(stigmer: Stigmer) -> None:
    first, other = begin(stigmer, 1), begin(stigmer, 2)
    emit(stigmer, "review", 1, "ada")
    stigmer.kill("runner")
    emit(stigmer, "review", 1, "ben")
    emit(stigmer, "review", 1, "ada")  # once more, which counts once
    stigmer.kill("server")
    emit(stigmer, "review", 1, "eve")
    wait_until(lambda: listens(stigmer, first), within_s=60)
    stigmer.kill("runner")
    stigmer.kill("server")
    emit(stigmer, "merged", 1)
    assert end_of(stigmer, first) == ("COMPLETED", ["ada", "ben", "eve"])
    thanks = stigmer.json("events", "list", "--type", "thanks")["items"]
    assert sorted(str(one["event"]["data"]) for one in thanks) == ["ada", "ben", "eve"], "each was published once"
    assert listens(stigmer, other)
    assert stigmer.json("executions", "get", other)["status"]["epoch"] == 1, "events of others do not even wake it"
    stigmer.ok("executions", "cancel", other)


@pytest.mark.slow
def test_an_execution_listens_on_where_temporal_has_forgotten_everything(stigmer: Stigmer) -> None:
    id_ = begin(stigmer, 3)
    emit(stigmer, "review", 3, "ada")
    wait_until(lambda: listens(stigmer, id_), within_s=30)
    stigmer.ok("down")
    for file in (stigmer.home / "data").glob("temporal.db*"):
        file.unlink()
    stigmer.ok("up")
    assert listens(stigmer, id_)
    emit(stigmer, "review", 3, "ben")
    emit(stigmer, "merged", 3)
    assert end_of(stigmer, id_) == ("COMPLETED", ["ada", "ben"])
