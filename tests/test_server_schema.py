# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Schemathesis asks the server what its OpenAPI schema allows, and does not."""

import pytest

pytest.importorskip("fastapi", reason="requirements-serve.txt")
schemathesis = pytest.importorskip("schemathesis")

import conftest
from hypothesis import HealthCheck, Phase, settings
from serving import app_of

from bert.serving import models

pytestmark = pytest.mark.xdist_group("serve")


@pytest.fixture(scope="module")
def api(tmp_path_factory):
  """The schema of an app with one model."""
  folder = tmp_path_factory.mktemp("schema") / "model"
  conftest.make_trained_folder("classifier", folder, **conftest.CLASSIFIER_NOTE)
  served = models.load([str(folder)])
  with app_of(served, keys=[b"key"], max_queue=1024) as (app, _):
    yield schemathesis.openapi.from_asgi("/openapi.json", app)


schema = schemathesis.pytest.from_fixture("api")


@schema.parametrize()
@settings(
  max_examples=10,
  deadline=None,
  derandomize=True,
  database=None,
  phases=[Phase.explicit, Phase.generate],
  suppress_health_check=list(HealthCheck),
)
def test_answers_are_as_the_schema_says(case):
  case.call_and_validate(headers={"Authorization": "Bearer key"})
