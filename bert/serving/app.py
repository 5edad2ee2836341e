# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""The HTTP interface of trained models: its routes, and OpenAPI.

In: what answers requests for models. Out: an ASGI app, made with FastAPI.

Bodies are read and checked by rows.py. FastAPI, which would look at each row of
a request, only describes them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

import fastapi
import pydantic
from fastapi import routing
from starlette import convertors
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from bert.serving import batcher, front, measures, page, rows, service

_PAGE_POLICY = (
  "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline';"
  " img-src data: blob:; connect-src 'self'; form-action 'none'; base-uri"
  " 'none'; frame-ancestors 'none'"
)
_STATUSES = {
  400: "The body is not what is expected",
  401: "A key is needed",
  403: "The request names another host",
  404: "There is no such model",
  408: "The request took too long to arrive",
  413: "The body is too large",
  500: "An error in the server",
  503: "Too many requests wait, or the server ends or is broken",
  504: "The deadline is over",
}


class _NameConvertor(convertors.StringConvertor):
  """A model's name in a path; a verb follows it behind a colon."""

  regex = "[^/:]+"


convertors.register_url_convertor("model", _NameConvertor())


class _Route(routing.APIRoute):
  """A route whose function takes the request as it is.

  FastAPI would look up what each function depends on, for every request.
  """

  def get_route_handler(self):
    return self.endpoint


# ----------------------------------------------------------------- schemas


class Instances(pydantic.BaseModel):
  """Rows for a model."""

  instances: list[Any] = pydantic.Field(
    min_length=1,
    description="Rows as the model's `example` shows them. A row's `id`, a text"
    " or a number, comes back with its answer.",
  )


class Place(Instances):
  """A row, and where in the model to look."""

  instances: list[Any] = pydantic.Field(min_length=1, max_length=1)
  layer: int = pydantic.Field(0, ge=0)
  head: int = pydantic.Field(0, ge=0)


class Predictions(pydantic.BaseModel):
  """Answers, in the order of the rows."""

  predictions: list[dict[str, Any]] = pydantic.Field(
    description='A row that can\'t be answered has {"error": "..."}.'
  )


class About(pydantic.BaseModel):
  """What a model is, and what it takes."""

  name: str
  task: str
  labels: list[Any]
  example: dict[str, Any] = pydantic.Field(
    description="A row; ... stands for any text."
  )
  max_seq_length: int
  num_layers: int
  num_heads: int
  responses: int = pydantic.Field(
    description="How many responses are searched for an answer; 0 if none."
  )
  state: str
  inspect: bool = pydantic.Field(
    description="Whether :tokens and :attention are answered."
  )


class AllModels(pydantic.BaseModel):
  """The models of a server."""

  models: list[About]


class Status(pydantic.BaseModel):
  """How a server is."""

  status: str


class Error(pydantic.BaseModel):
  """What is wrong with a request, in a sentence."""

  error: str


def _described(model: type, *statuses: int) -> dict:
  """The answers of a route, for OpenAPI."""
  errors = {
    status: {"model": Error, "description": _STATUSES[status]}
    for status in statuses
  }
  return {200: {"model": model}, **errors}


# --------------------------------------------------------------------- app


def make_app(
  served: service.Service,
  counted: measures.Measures,
  keys: Sequence[bytes] = (),
  hosts: Collection[bytes] = (),
) -> fastapi.FastAPI:
  """Makes the ASGI app of a server.

  Args:
    served: answers requests for models.
    counted: counts the requests.
    keys: one of which a request needs; none: it needs no key.
    hosts: one of which a request names; none: it may name any.
  """
  app = fastapi.FastAPI(
    title="BERT",
    version="1",
    summary="Trained models, in the row format of TensorFlow Serving.",
    redoc_url=None,
    swagger_ui_oauth2_redirect_url=None,
    redirect_slashes=False,
  )
  app.router.route_class = _Route
  app.add_middleware(front.Front, measures=counted, keys=keys, hosts=hosts)
  _add_errors(app)
  _add_answers(app, served)  # first, because routes are tried in their order
  _add_models(app, served)
  _add_states(app, served, counted)
  _describe_front(app, bool(keys), bool(hosts))
  return app


def _add_errors(app):
  """Has each error become an answer of one sentence."""
  refusals = {
    batcher.Late: (504, "the deadline is over: send fewer or shorter rows"),
    batcher.Failed: (500, "the model could not compute the rows"),
    batcher.Cut: (front.CUT, "the client is gone"),
    ClientDisconnect: (front.CUT, "the client is gone"),
  }
  for kind, refusal in refusals.items():

    async def refuse(request, error, refusal=refusal):
      return front.error_response(*refusal)

    app.add_exception_handler(kind, refuse)

  async def explain(request, error):
    return front.error_response(error.status, error.message, error.headers)

  async def no_route(request: Request, error: HTTPException):
    message = {
      404: "there is nothing here: see /docs for what there is",
      405: f"{request.method} is not for this path: see /docs",
    }.get(error.status_code, str(error.detail))
    return front.error_response(error.status_code, message, error.headers)

  app.add_exception_handler(rows.Refusal, explain)
  app.add_exception_handler(HTTPException, no_route)


def _json(value, status: int = 200) -> Response:
  return Response(rows.encode(value), status, media_type="application/json")


def _add_states(app, served, counted):
  """The page, and what watches the server."""
  html = page.html().encode()

  @app.head("/", include_in_schema=False)
  @app.get("/", include_in_schema=False)
  async def show_page(request: Request):
    return Response(
      html,
      headers={"Content-Security-Policy": _PAGE_POLICY},
      media_type="text/html; charset=utf-8",
    )

  @app.head("/healthz", include_in_schema=False)
  @app.get("/healthz", responses=_described(Status, 503), tags=["server"])
  async def healthz(request: Request):
    """Whether the process is alive, and the threads that compute."""
    if served.is_alive:
      return _json({"status": "ok"})
    return front.error_response(503, service.NO_THREAD)

  @app.head("/readyz", include_in_schema=False)
  @app.get("/readyz", responses=_described(Status, 503), tags=["server"])
  async def readyz(request: Request):
    """Whether requests are answered."""
    if served.is_ready:
      return _json({"status": "ok"})
    message = "the server is about to end"
    return front.error_response(
      503, message if served.is_alive else service.NO_THREAD
    )

  text = {"content": {"text/plain": {"schema": {"type": "string"}}}}

  @app.get(
    "/metrics",
    responses={200: text},
    response_class=Response,
    tags=["server"],
  )
  async def metrics(request: Request):
    """Counts and times, for Prometheus."""
    headers = {"Content-Type": measures.CONTENT_TYPE}
    return Response(counted.text(), headers=headers)


def _add_models(app, served):
  """What the models are."""

  @app.get("/v1/models", responses=_described(AllModels), tags=["models"])
  async def list_models(request: Request):
    """All models."""
    found = [served.about(model) for model in served.models.values()]
    return _json({"models": found})

  @app.get(
    "/v1/models/{name:model}",
    responses=_described(About, 404),
    openapi_extra=_extra(served),
    tags=["models"],
  )
  async def show_model(request: Request):
    """A model's task, labels, and an example of a row."""
    return _json(served.about(served.find(request)))


def _add_answers(app, served):
  """What the models answer."""

  def add(verb: str, answer: Callable, body: type, text: str):
    @app.post(
      f"/v1/models/{{name:model}}:{verb}",
      name=verb,
      description=text,
      responses=_described(Predictions, 400, 404, 408, 413, 500, 503, 504),
      openapi_extra=_extra(served, body),
      tags=["models"],
    )
    async def route(request: Request):
      body = await answer(request)
      return Response(body, media_type="application/json")

  add("predict", served.predict, Instances, "Answers rows.")
  add("tokens", served.tokens, Instances, "The pieces and ids of rows.")
  add(
    "attention",
    served.attention,
    Place,
    "How much the tokens of a row take from each other, in a layer and head.",
  )


def _extra(served, body: type | None = None) -> dict:
  """What OpenAPI says of the path and body of a request for a model."""
  names = list(served.models)
  path = {
    "name": "name",
    "in": "path",
    "required": True,
    "description": "The name of a model.",
    "schema": {"type": "string", "enum": names},
  }
  if not body:
    return {"parameters": [path]}
  schema = body.model_json_schema()
  properties = schema["properties"]
  properties["instances"].setdefault("maxItems", served.limits.max_rows)
  configs = [model.model.config for model in served.models.values()]
  for name, count in (
    ("layer", max(config.num_hidden_layers for config in configs)),
    ("head", max(config.num_attention_heads for config in configs)),
  ):
    if name in properties:
      properties[name]["maximum"] = count - 1
  example = {"instances": [served.models[names[0]].example]}
  content = {"application/json": {"schema": schema, "example": example}}
  return {
    "parameters": [path],
    "requestBody": {"required": True, "content": content},
  }


def _describe_front(app, has_keys: bool, has_hosts: bool):
  """Has OpenAPI say what `front.Front` asks of a request."""
  make = app.openapi
  error = {"schema": {"$ref": "#/components/schemas/Error"}}

  def add(operation, status):
    operation["responses"][str(status)] = {
      "description": _STATUSES[status],
      "content": {"application/json": error},
    }

  def openapi():
    schema = make()
    if has_keys:
      schema.setdefault("components", {})["securitySchemes"] = {
        "key": {"type": "http", "scheme": "bearer"}
      }
    for path, operations in schema["paths"].items():
      for operation in operations.values():
        if has_hosts:
          add(operation, 403)
        if has_keys and path not in front.OPEN_PATHS:
          operation["security"] = [{"key": []}]
          add(operation, 401)
    return schema

  app.openapi = openapi
