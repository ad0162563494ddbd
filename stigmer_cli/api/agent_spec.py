"""The spec of an agent, as a manifest says it and as the server sends it."""

from pydantic import Field, JsonValue, field_validator
from pydantic_core import PydanticCustomError

from stigmer_cli.api.agent_tools import LOOP_KEYS, Limits, Schema, Tools
from stigmer_cli.api.wire import Asked
from stigmer_cli.domain.execution import AgentSpec
from stigmer_cli.domain.model_name import find_model_problem
from stigmer_cli.json_schema import find_schema_problem

DESCRIPTION_MAX = 4_000
INSTRUCTIONS_MAX = 200_000
MODEL_MAX = 200


class AgentSpecBody(Asked):
    """What a person writes about an agent. The description is here, in the spec."""

    description: str = Field(default="", max_length=DESCRIPTION_MAX)
    instructions: str = Field(default="", max_length=INSTRUCTIONS_MAX)
    model: str = Field(default="echo", min_length=1, max_length=MODEL_MAX)
    tools: Tools = Field(default_factory=list, exclude_if=lambda tools: not tools)
    output: Schema = None
    limits: Limits = None

    def to_domain(self) -> AgentSpec:
        """The value that the store keeps."""
        document = self.model_dump(mode="json", by_alias=True, include=set(LOOP_KEYS), exclude_defaults=True)
        return AgentSpec(
            description=self.description, instructions=self.instructions, model=self.model, document=document
        )


class ManifestSpec(AgentSpecBody):
    """What a manifest says about an agent: checked more closely than what a store may hold already."""

    @field_validator("model")
    @classmethod
    def _names_a_model(cls, name: str) -> str:
        if problem := find_model_problem(name):
            raise PydanticCustomError("model", "{problem}", {"problem": problem})
        return name

    @field_validator("output")
    @classmethod
    def _is_a_schema(cls, schema: dict[str, JsonValue] | None) -> dict[str, JsonValue] | None:
        if schema is not None and (problem := find_schema_problem(schema)):
            raise PydanticCustomError("output", "{problem}", {"problem": problem})
        return schema


def agent_spec_body(spec: AgentSpec) -> AgentSpecBody:
    """`spec` as it goes over the wire."""
    return AgentSpecBody.model_validate(
        {
            "description": spec.description,
            "instructions": spec.instructions,
            "model": spec.model,
            **spec.document,
        }
    )
