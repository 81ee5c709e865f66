"""Bodies of requests and answers, described by OpenAPI at `/docs`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

from conjoin.errors import unknown_name

Score = Annotated[float, Field(ge=0, le=1)]
EXAMPLES: list[JsonValue] = [
    {"text": "Maria Ortiz leads the Halden Steel of Leeds.", "relation_threshold": 0.5},
    {"texts": ["Lee Oswald shot Kennedy in Dallas.", "Oslo is the capital of Norway."]},
]
REMEDY = 'send a JSON object such as {"text": "Oslo is the capital of Norway."}'
NULL: JsonValue = {"type": "null"}
TEXT_OR_TEXTS: list[JsonValue] = [
    {"required": ["text"], "properties": {"text": {"type": "string"}, "texts": NULL}},
    {"required": ["texts"], "properties": {"texts": {"type": "array"}, "text": NULL}},
]


class ExtractRequest(BaseModel):
    """One text or several, score thresholds and the format of the answer."""

    model_config = ConfigDict(extra="forbid", strict=True, json_schema_extra={"examples": EXAMPLES, "oneOf": TEXT_OR_TEXTS})
    text: str | None = Field(None, description="One text; character offsets refer to it as it is.")
    texts: list[str] | None = Field(None, description="Several texts, instead of `text`.")
    entity_threshold: Score = Field(0.0, description="Minimum score of an entity, 0 to 1.")
    relation_threshold: Score = Field(0.0, description="Minimum score of a relation, 0 to 1.")
    format: Literal["json", "jsonl", "html", "fragment"] = Field(
        "json", description="JSON, one line of JSON per text, an HTML page, or one HTML fragment per text."
    )

    @model_validator(mode="after")
    def _check_texts(self) -> ExtractRequest:
        if (self.text is None) == (self.texts is None):
            raise ValueError('give either "text" or "texts"')
        return self


def describe_problem(problem: Mapping[str, Any], *, content_type: str) -> str:
    """One sentence for one of pydantic's errors about the body of an `ExtractRequest`."""
    place = [part for part in problem["loc"] if part != "body"]
    match problem["type"]:
        case "missing":
            return f"the body is empty; {REMEDY}"
        case "json_invalid":
            return f"the body is not JSON ({problem['ctx']['error']}, at character {place[0]}); {REMEDY}"
        case "extra_forbidden":
            return unknown_name("field", str(place[-1]), ExtractRequest.model_fields)
        case "value_error":
            return str(problem["ctx"]["error"])
    if not place:
        sent = f" (its content type is {content_type})" if content_type and "json" not in content_type else ""
        return f"the body is not a JSON object{sent}; {REMEDY} as application/json"
    return f"{'.'.join(map(str, place))}: {problem['msg'].replace('Input should be', 'must be')}"


class EntityPayload(BaseModel):
    """A typed span of characters, counted from 0; the end is exclusive."""

    id: str
    type: str
    char_start: int
    char_end: int
    text: str
    score: float


class RelationPayload(BaseModel):
    """A typed, directed relation between two entities, given by their ids."""

    type: str
    head: str
    tail: str
    score: float


class DocumentPayload(BaseModel):
    """The entities and relations of one text."""

    id: str
    text: str
    entities: list[EntityPayload]
    relations: list[RelationPayload]


class ExtractResponse(BaseModel):
    """One document per text, in order."""

    documents: list[DocumentPayload]


class ModelInfo(BaseModel):
    """The model behind the service."""

    name: str
    version: str = Field(description="Version of conjoin.")
    settings: dict[str, Any]
    types: dict[str, Any] = Field(description="Entity types, relation types and the entity types that each connects.")
    scores: dict[str, Any] = Field(description="Scores on test, fractions of 1; empty if the model was not scored.")
    limits: dict[str, float]


class ErrorMessage(BaseModel):
    """The reason why a request was rejected."""

    error: str


class Health(BaseModel):
    """The state of the service."""

    status: Literal["ok"]
