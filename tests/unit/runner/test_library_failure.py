"""What the errors of providers come to whose libraries are not among the tests'."""

import json
from typing import Any

import pytest
from pydantic_ai.exceptions import ModelAPIError, ModelHTTPError, UserError

from stigmer_cli.runner.model.library import _arguments, _HttpClients
from stigmer_cli.runner.model.library_failure import AskedModel, translate_failure
from stigmer_cli.runner.model.seam import ContextTooLong, ModelBusy, ModelFailed

ASKED = AskedModel(name="xai:grok-4", host="api.x.ai", key="", endpoint="", proxy="", silent_s=5.0)


@pytest.mark.parametrize(
    "body",
    [
        {"error": {"message": "too many of them", "type": "x"}},
        {"Error": {"Message": "too many of them", "Code": "Throttling"}, "ResponseMetadata": {"HTTPStatusCode": 429}},
        {"message": "too many of them"},
        '{"error": {"message": "too many of them"}}',
        b'{"message": "too many of them"}',
        "too many of them",
        pytest.param(b"too many of them", id="bytes"),
    ],
)
def test_the_words_of_a_provider_are_found_however_its_library_hands_them_over(body: object) -> None:
    found = translate_failure(ModelHTTPError(status_code=429, model_name="m", body=body), ASKED)
    assert isinstance(found, ModelBusy)
    assert found.message == "the model xai:grok-4 at api.x.ai answered 429 Too Many Requests: too many of them"


def test_a_host_that_grpc_does_not_reach_is_said_in_its_own_words() -> None:
    class OfGrpc(Exception):
        def details(self) -> str:
            return "failed to connect to all addresses"

    error = ModelAPIError(model_name="m", message="x")
    error.__cause__ = OfGrpc("status, details, debug string, and more")
    found = translate_failure(error, ASKED)
    assert isinstance(found, ModelBusy)
    assert found.message == "the model xai:grok-4 at api.x.ai cannot be reached: failed to connect to all addresses"


def test_a_piece_of_an_answer_that_is_no_json_is_not_said_to_be_a_host_that_cannot_be_reached() -> None:
    error = ModelAPIError(model_name="m", message="x")
    with pytest.raises(json.JSONDecodeError) as refused:
        json.loads("{bad")
    error.__cause__ = refused.value
    found = translate_failure(error, ASKED)
    assert isinstance(found, ModelBusy)
    assert "broke its answer off: a piece of it is no JSON (Expecting property name" in found.message


def test_a_region_that_is_missing_is_named_as_it_is_set() -> None:
    found = translate_failure(
        UserError("You must provide a `region_name` or a boto3 client for Bedrock Runtime."), ASKED
    )
    assert isinstance(found, ModelFailed)
    assert "needs a region: set AWS_DEFAULT_REGION" in found.message


def test_a_class_that_refuses_a_client_of_ours_is_given_none() -> None:
    class HuggingFaceProvider:
        def __init__(self, base_url: str = "", api_key: str = "", http_client: object = None) -> None:
            pass

    class Other(HuggingFaceProvider):
        pass

    def names(class_: Any) -> set[str]:
        return set(_arguments(class_, _HttpClients(1.0), url="http://h", key="k", proxy=None))

    assert names(HuggingFaceProvider) == {"base_url", "api_key"}
    assert names(Other) == {"base_url", "api_key", "http_client"}


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (400, "the request exceeds the available context size. try increasing the context size"),
        (400, "Input is too long for requested model."),
        (413, "no words"),
    ],
)
def test_a_conversation_that_is_too_long_is_known_by_any_words(status: int, message: str) -> None:
    found = translate_failure(ModelHTTPError(status_code=status, model_name="m", body={"message": message}), ASKED)
    assert type(found) is ContextTooLong
    assert found.message.endswith(message)
