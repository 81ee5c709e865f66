"""What the service is asked and answers: the models behind its OpenAPI description."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

from conjoin.errors import unknown_name

Score = Annotated[float, Field(ge=0, le=1, description="From 0 to 1.")]
EXAMPLES: list[JsonValue] = [
    {"text": "Maria Ortiz leads the Halden Steel of Leeds.", "relation_threshold": 0.5},
    {"texts": ["Lee Oswald shot Kennedy in Dallas.", "Oslo is the capital of Norway."]},
]
A_BODY = 'a JSON object such as {"text": "Oslo is the capital of Norway."}'
NOTHING: JsonValue = {"type": "null"}
EITHER: list[JsonValue] = [
    {"required": ["text"], "properties": {"text": {"type": "string"}, "texts": NOTHING}},
    {"required": ["texts"], "properties": {"texts": {"type": "array"}, "text": NOTHING}},
]


class Asked(BaseModel):
    """One text or several, what must be scored how high, and how the answer is written."""

    model_config = ConfigDict(extra="forbid", strict=True, json_schema_extra={"examples": EXAMPLES, "oneOf": EITHER})

    text: str | None = Field(None, description="One text; its characters are counted as they are.")
    texts: list[str] | None = Field(None, description="Several texts, in place of one.")
    entity_threshold: Score = Field(0.0, description="Least score of an entity.")
    relation_threshold: Score = Field(0.0, description="Least score of a relation.")
    format: Literal["json", "jsonl", "html", "fragment"] = Field(
        "json", description="JSON, a line for each text, a page, or what a page shows of each text."
    )

    @model_validator(mode="after")
    def _one_of_both(self) -> Asked:
        if (self.text is None) == (self.texts is None):
            raise ValueError('give either "text" or "texts"')
        return self

    @property
    def all_texts(self) -> list[str]:
        return [self.text] if self.text is not None else list(self.texts or [])


def sentence(problem: Mapping[str, Any], *, content_type: str) -> str:
    """What is wrong with a body that is no `Asked`, and how it should be, of one problem as pydantic tells it."""
    place = [part for part in problem["loc"] if part != "body"]
    match problem["type"]:
        case "missing":
            return f"the body is empty; send {A_BODY}"
        case "json_invalid":
            return f"the body is not JSON ({problem['ctx']['error']}, at character {place[0]}); send {A_BODY}"
        case "extra_forbidden":
            return unknown_name("field", str(place[-1]), Asked.model_fields)
        case "value_error":
            return str(problem["ctx"]["error"])
    if not place:
        sent = f", and its content type is {content_type}" if content_type and "json" not in content_type else ""
        return f"the body is no JSON object{sent}; send {A_BODY} as application/json"
    told = problem["msg"].replace("Input should be", "must be")
    return f"{'.'.join(map(str, place))}: {told}"


class FoundEntity(BaseModel):
    """A typed span; characters are counted from 0, the end is exclusive."""

    id: str
    type: str
    char_start: int
    char_end: int
    text: str
    score: float


class FoundRelation(BaseModel):
    """A typed, directed pair of entities, named by their ids."""

    type: str
    head: str
    tail: str
    score: float


class FoundDocument(BaseModel):
    """What was found in one text."""

    id: str
    text: str
    entities: list[FoundEntity]
    relations: list[FoundRelation]


class Found(BaseModel):
    """A document for each text, in order."""

    documents: list[FoundDocument]


class About(BaseModel):
    """The model that answers."""

    name: str
    version: str = Field(description="Of conjoin.")
    settings: dict[str, Any]
    types: dict[str, Any] = Field(description="Types of entities and relations, and which a relation may connect.")
    scores: dict[str, Any] = Field(description="On test, if the model was scored; fractions of 1.")
    limits: dict[str, float]


class Reason(BaseModel):
    """Why a request was refused."""

    error: str


class Health(BaseModel):
    """Whether the service answers."""

    status: Literal["ok"]
