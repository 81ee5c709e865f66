"""Random requests (schemathesis): answers match the OpenAPI description and are never server errors."""

from __future__ import annotations

from typing import Any

import hypothesis
import pytest

pytest.importorskip("fastapi")
schemathesis: Any = pytest.importorskip("schemathesis")

import doubles  # noqa: E402
from conjoin.artifacts.run_record import RunRecord  # noqa: E402
from conjoin.extras.serve import create_app  # noqa: E402
from conjoin.schema import Schema  # noqa: E402

pytestmark = [pytest.mark.fuzz, pytest.mark.filterwarnings("ignore")]  # the fuzzer's own


class StandIn(doubles.FirstWords):
    """Finds first words; has the attributes that `/model` shows."""

    schema = Schema(("Word",), ("Next",))
    record = RunRecord()

    @property
    def pipeline(self) -> StandIn:
        return self

    @property
    def config(self) -> Any:
        from conjoin import load_config

        return load_config("conjoin-base")


app = create_app(StandIn())  # type: ignore[arg-type]
description = schemathesis.openapi.from_asgi("/openapi.json", app)


@description.parametrize()
@hypothesis.settings(max_examples=60, deadline=None, suppress_health_check=list(hypothesis.HealthCheck), derandomize=True)
def test_answers_match_the_description(case: Any) -> None:
    response = case.call()
    assert response.status_code < 500, response.text
    case.validate_response(response)
