"""The documented API under generated requests: no crash, nothing undocumented."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core import NotSet
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.tacs.serve.conftest import ORIGIN, Site

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
# What ends the login, or would be a session of minutes.
LEFT_OUT = {"/api/v1/logout", "/api/v1/login"}


def operations(site: Site) -> list[Any]:
    app: Any = site.gate.inner
    schema = schemathesis.openapi.from_dict(app.openapi())
    found = [result.ok() for result in schema.get_all_operations()]
    return [operation for operation in found if operation.path not in LEFT_OUT]


@pytest.mark.parametrize("mode", list(GenerationMode))
@pytest.mark.parametrize("role", ["operator", "rater"])
def test_generated_requests_do_no_harm(site: Site, role: Any, mode: GenerationMode):
    client = site.login(role)
    headers = {
        "Origin": ORIGIN,
        "X-CSRF-Token": client.headers["X-CSRF-Token"],
        "Content-Type": "application/json",
    }
    asked = 0
    for operation in operations(site):

        @settings(
            max_examples=8, deadline=None, database=None, derandomize=True,
            phases=[Phase.generate], suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        def attack(case: Any) -> None:
            nonlocal asked
            asked += 1
            body = {} if isinstance(case.body, NotSet) else case.body
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            told = client.request(
                case.method,
                case.formatted_path,
                params=case.query,
                content=content if case.method == "POST" else None,
                headers=headers,
            )
            response = schemathesis.Response.from_httpx(told, verify=False)
            case.validate_response(response, checks=CHECKS)

        # An operation that takes nothing cannot be given anything wrong.
        with contextlib.suppress(Unsatisfiable):
            given(case=operation.as_strategy(generation_mode=mode))(attack)()
    assert asked > 100
