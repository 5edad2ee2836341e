# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""The server's routes: what they answer, what they refuse, and in which words.

The models of all tasks are made once and served by one app in this process.
"""

import functools
import importlib.util
import json
import threading
import time

import helpers
import pytest

pytest.importorskip("fastapi", reason="requirements-serve.txt")

import conftest
from serving import app_of, Held
from starlette.testclient import TestClient

import predict
import serve
from bert.serving import front, models

pytestmark = pytest.mark.xdist_group("serve")
JSON = {"content-type": "application/json"}

# A row for each model, and the keys of its answer.
ROWS = {
  "classifier": ({"text_a": "good day"}, {"label", "probabilities"}),
  "squad": (
    {"question": "one?", "context": "the café, one good day " * 3},
    {"text", "probability", "start", "end", "window", "answers"},
  ),
  "tagger": ({"text": "a good day"}, {"tokens", "tags", "spans", "entities"}),
  "pair": ({"text_a": "good", "text_b": "bad"}, {"probability", "score"}),
  "vectors": ({"text": "good"}, {"vector"}),
  "pretrained": ({"text": "a good [MASK]"}, {"masks"}),
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
  """{name: folder} of a model of each task."""
  root = tmp_path_factory.mktemp("served")
  notes = {
    "classifier": ("classifier", conftest.CLASSIFIER_NOTE),
    "squad": ("squad", conftest.SQUAD_NOTE),
    "tagger": (
      "tagger",
      {
        "labels": ["O", "B-PER", "I-PER"],
        "tag_scheme": "bio",
        "use_crf": True,
        "birnn_cell": None,
        "birnn_size": 4,
        "mix_layers": [],
      },
    ),
    "pair": ("ranker", {"model": "interaction", "pooling": "mean"}),
    "vectors": ("ranker", {"model": "representation", "pooling": "mean"}),
  }
  for name, (task, note) in notes.items():
    conftest.make_trained_folder(task, root / name, **note)
  helpers.make_pretrained_folder(root / "pretrained")
  return {name: str(root / name) for name in (*notes, "pretrained")}


@pytest.fixture(scope="module")
def served(folders):
  """{name: Served} of all folders."""
  return models.load(list(folders.values()))


@pytest.fixture(scope="module")
def client(served):
  """A client of an app with all models."""
  limits = {"max_rows": 5, "max_body": 20_000, "max_text_length": 500}
  with app_of(served, max_batch=64, **limits) as (
    app,
    _,
  ):
    yield TestClient(app, raise_server_exceptions=False)


def ask(client, name, *instances, verb="predict", **others):
  """The predictions for rows."""
  answer = client.post(
    f"/v1/models/{name}:{verb}", json={"instances": instances, **others}
  )
  assert answer.status_code == 200, answer.text
  assert answer.headers["content-type"] == "application/json"
  return answer.json()["predictions"]


# ----------------------------------------------------------------- answers


@pytest.mark.parametrize("name", ROWS)
def test_a_row_is_answered_as_by_predict(name, client, served):
  row, keys = ROWS[name]
  (found,) = ask(client, name, {"id": 7, **row})
  lines = [(1, json.dumps({"id": 7, **row}).encode())]
  (wanted,) = predict.answer_lines([lines], served[name].predictor)
  assert found == json.loads(json.dumps(wanted))
  assert set(found) == {"id", *keys}


def test_one_bad_row_does_not_fail_the_others(client):
  good = {"text": "good"}
  found = ask(client, "classifier", good, "good", {"id": 1, "text": 3}, good)
  assert found[1]["error"].startswith("a JSON object is expected, such as {")
  assert found[2] == {"id": 1, "error": "'text' has to be a text, not 3"}
  assert found[0]["label"] == found[3]["label"]
  assert found[0]["probabilities"] == pytest.approx(
    found[3]["probabilities"], rel=1e-5
  )


@pytest.mark.parametrize(
  ("row", "error"),
  [
    ({"text": "a" * 501}, "the row is too long: it may have 500 characters"),
    ({"text": "a", "b": ["c" * 250] * 2}, "the row is too long"),
    ({"a" * 501: 1}, "the row is too long"),
    ({}, "no key 'text_a': give"),
    (None, "a JSON object is expected"),
    ([["a"]], "a JSON object is expected"),
    ({"id": [1], "text": "a"}, "'id' has to be a text or a number"),
    ({"text": {"a": {}}}, "'text' has to be a text"),
  ],
)
def test_rows_that_are_none_get_an_error_in_their_place(client, row, error):
  (found,) = ask(client, "classifier", row)
  assert error in found["error"]


def test_texts_of_any_kind_are_answered(client):
  texts = ["", " ", "\0", "\u202e\ufeff", "é" * 400, "\U0001f600", "[CLS]"]
  for start in range(0, len(texts), 5):
    rows = [{"text": text} for text in texts[start : start + 5]]
    assert all("label" in found for found in ask(client, "classifier", *rows))
  (found,) = ask(client, "tagger", {"text": ""})
  assert found["tokens"] == found["tags"] == []


def test_a_response_base_answers_with_the_nearest(folders, tmp_path):
  texts = ["good day", "bad", "one two", "the cafe"]
  path = helpers.write(tmp_path / "responses.txt", "\n".join(texts))
  given = [folders["vectors"], folders["pair"]]
  served = models.load(given, response_file=path)
  with app_of(served) as (app, _):
    client = TestClient(app)
    first, second = ask(
      client, "vectors", {"text": "bad", "top_k": 2}, {"text": "one two"}
    )
    assert len(first["answers"]) == 2 and len(second["answers"]) == 4
    for found, text in ((first, "bad"), (second, "one two")):
      scores = [answer["score"] for answer in found["answers"]]
      assert found["answers"][0]["text"] == text
      assert scores == sorted(scores, reverse=True)
      assert scores[0] == pytest.approx(1, abs=1e-5)
    (wrong,) = ask(client, "vectors", {"text": "bad", "top_k": 0})
    assert wrong["error"].startswith("'top_k' has to be a whole number from 1 ")
    about = client.get("/v1/models").json()["models"]
    assert [model["responses"] for model in about] == [4, 0]
  assert (tmp_path / "responses.txt.npy").exists()


def test_a_defect_is_told_without_the_text(caplog):
  with app_of({"held": Held()}) as (app, _):
    client = TestClient(app)
    found = ask(client, "held", {"text": "defect"}, {"text": "four"})
  assert found == [
    {"error": "the row can't be answered: an error in the server"},
    {"length": 4},
  ]
  assert "a row for held: KeyError" in caplog.text
  assert "secret" not in caplog.text and "defect" not in caplog.text


@pytest.mark.parametrize(
  "row", [{"text": "a" * 3000}, {"text": "a", "score": "b"}]
)
def test_large_requests_do_not_stop_the_event_loop(row):
  """Rows of many bytes, or with many windows, are prepared in a thread."""
  held, may_go, found = Held(), threading.Event(), []
  held.is_short = functools.partial(models.Served.is_short, held)
  prepare, began = held.prepare, threading.Event()

  def slowly(row):
    began.set()
    assert may_go.wait(20)
    return prepare(row)

  held.prepare = slowly
  body = {"instances": [row]}
  with app_of({"held": held}) as (app, _), TestClient(app) as client:

    def send():
      found.append(client.post("/v1/models/held:predict", json=body))

    sender = threading.Thread(target=send)
    sender.start()
    assert began.wait(20)
    answers = []  # in the same event loop
    asker = threading.Thread(
      target=lambda: answers.append(client.get("/healthz")), daemon=True
    )
    asker.start()
    asker.join(5)
    is_answered = bool(answers)
    may_go.set()
    sender.join()
    asker.join()
  assert found[0].json() == {"predictions": [{"length": len(row["text"])}]}
  assert is_answered and answers[0].status_code == 200


# ------------------------------------------------------------ other routes


def test_models_say_what_they_are(client):
  listed = client.get("/v1/models").json()["models"]
  assert [model["name"] for model in listed] == list(ROWS)
  found = client.get("/v1/models/classifier").json()
  assert found == listed[0]
  assert found == {
    "name": "classifier",
    "task": "classifier",
    "labels": ["no", "yes"],
    "example": {"text_a": "...", "text_b": "..."},
    "max_seq_length": 12,
    "num_layers": 1,
    "num_heads": 2,
    "responses": 0,
    "state": "AVAILABLE",
    "inspect": True,
  }
  assert listed[2]["labels"] == ["O", "B-PER", "I-PER"]
  assert listed[5]["task"] == "pretraining" and listed[5]["labels"] == []


def test_the_pieces_of_a_row(client):
  row = {"text_a": "good days", "text_b": "bad"}
  found, wrong = ask(client, "classifier", row, {}, verb="tokens")
  tokens = ["[CLS]", "good", "day", "##s", "[SEP]", "bad", "[SEP]"]
  assert found["tokens"] == tokens
  assert found["ids"] == [2, 5, 7, 8, 3, 6, 3]
  assert found["segment_ids"] == [0, 0, 0, 0, 0, 1, 1]
  assert wrong["error"].startswith("no key 'text_a'")


def test_the_attention_of_a_row(client):
  row = {"text": "good days"}
  (found,) = ask(client, "classifier", row, verb="attention", layer=0, head=1)
  assert found["tokens"] == ["[CLS]", "good", "day", "##s", "[SEP]"]
  assert [len(weights) for weights in found["weights"]] == [5] * 5
  assert all(sum(w) == pytest.approx(1, abs=1e-4) for w in found["weights"])
  (other,) = ask(client, "classifier", row, verb="attention", layer=0.0)
  assert other["weights"] != found["weights"]
  (wrong,) = ask(client, "classifier", {}, verb="attention")
  assert wrong["error"].startswith("no key 'text_a'")


def test_looking_inside_can_be_switched_off(served):
  with app_of(served, inspect=False) as (app, _):
    client = TestClient(app)
    for verb in ("tokens", "attention"):
      found = client.post(
        f"/v1/models/classifier:{verb}", json={"instances": [{"text": "a"}]}
      )
      assert found.status_code == 404
      assert found.json() == {
        "error": "this server was started with --noinspect"
      }
    assert client.get("/v1/models/squad").json()["inspect"] is False


def test_the_page_is_our_own_and_loads_nothing(client):
  found = client.get("/")
  assert found.status_code == 200
  assert found.headers["content-type"] == "text/html; charset=utf-8"
  assert "default-src 'none'" in found.headers["content-security-policy"]
  assert "<html" in found.text


def test_the_state_of_the_server(served):
  with app_of(served) as (app, service):
    client = TestClient(app)
    for path in ("/healthz", "/readyz"):
      assert client.get(path).json() == {"status": "ok"}
      assert client.head(path).status_code == 200  # as a watcher may ask
    service.end()
    assert client.get("/healthz").status_code == 200
    assert client.get("/readyz").status_code == 503


def test_requests_rows_and_batches_are_counted(served):
  with app_of(served) as (app, _):
    client = TestClient(app)
    rows = [{"text": "a"}, {"text": "a b"}, {}]
    ask(client, "classifier", *rows)
    client.get("/nowhere")
    client.get("/v1/models/none")
    for _ in range(100):  # a batch is counted when it is already answered
      text = client.get("/metrics").text
      if "bert_batch_windows_count" in text:
        break
      time.sleep(0.01)
  path = "/v1/models/{name}"
  for line in (
    f'bert_requests_total{{route="{path}:predict",status="200"}} 1.0',
    f'bert_requests_total{{route="{path}",status="404"}} 1.0',
    'bert_requests_total{route="none",status="404"} 1.0',
    f'bert_request_seconds_count{{route="{path}:predict"}} 1.0',
    'bert_rows_total{model="classifier",result="answered"} 2.0',
    'bert_rows_total{model="classifier",result="error"} 1.0',
    'bert_batch_windows_sum{model="classifier"} 2.0',
    'bert_batch_windows_bucket{le="1.0",model="classifier"} 0.0',
    'bert_batch_seconds_count{model="classifier"} 1.0',
    "bert_queue_windows 0.0",
  ):
    assert line in text.split("\n")
  assert "process_resident_memory_bytes" in text


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize(
  ("body", "status", "error"),
  [
    (b"", 400, "the body is not JSON"),
    (b"good", 400, "the body is not JSON"),
    (b'{"instances": [{"text": NaN}]}', 400, "the body is not JSON"),
    (b'{"instances": [{"text": 1e999}]}', 400, "the body is not JSON"),
    (b'{"instances": [{"text": "\\ud800"}]}', 400, "the body is not JSON"),
    (b'{"instances": [{"text": "\xff"}]}', 400, "the body is not JSON"),
    (b"\xff\xfe{\0}\0", 400, "the body is not JSON"),
    (b"[" * 15_000, 400, "the body is not JSON"),
    (b'{"instances":' + b"[" * 900 + b"]" * 900 + b"}", 200, ""),
    (b"[]", 400, 'a JSON object such as {"instances": [ROW, ...]}'),
    (b"{}", 400, 'a JSON object such as {"instances": [ROW, ...]}'),
    (b'{"inputs": []}', 400, "a JSON object such as"),
    (b'{"instances": {}}', 400, "'instances' has to be a list of one row"),
    (b'{"instances": []}', 400, "'instances' has to be a list of one row"),
    (b'{"instances": [1,2,3,4,5,6]}', 400, "6 rows are too many: a request m"),
    (b" " * 20_001, 413, "the body is too large: 20000 bytes are the most"),
  ],
)
def test_bodies_that_are_refused(client, body, status, error):
  found = client.post("/v1/models/classifier:predict", content=body)
  assert found.status_code == status, found.text
  assert error in found.json().get("error", "")
  ask(client, "classifier", {"text": "the server goes on"})


@pytest.mark.parametrize(
  ("method", "path", "status", "error"),
  [
    ("POST", "/v1/models/poet:predict", 404, "there is no model 'poet': this "),
    ("GET", "/v1/models/poet", 404, "there is no model 'poet': this server ha"),
    ("POST", "/v1/models/classifier:sing", 404, "there is nothing here"),
    ("GET", "/v1/models/", 404, "there is nothing here: see /docs"),
    ("GET", "/v1/models/a/b", 404, "there is nothing here: see /docs"),
    ("GET", "/v1/models/%00", 404, "there is no model '\\x00': this server"),
    ("GET", "/v1/models/classifier:predict", 405, "GET is not for this path"),
    ("POST", "/v1/models/classifier", 405, "POST is not for this path"),
    ("DELETE", "/healthz", 405, "DELETE is not for this path"),
    ("PURGE", "/", 405, "PURGE is not for this path"),
  ],
)
def test_paths_and_methods_that_are_refused(
  client, method, path, status, error
):
  found = client.request(method, path)
  assert found.status_code == status
  assert error in found.json()["error"]
  if status == 405:
    assert found.headers["allow"] == ("POST" if "predict" in path else "GET")


@pytest.mark.parametrize(
  ("places", "error"),
  [
    ({"layer": 1}, "'layer' has to be a whole number from 0 to 0"),
    ({"head": 2}, "'head' has to be a whole number from 0 to 1"),
    ({"head": -1}, "'head' has to be a whole number"),
    ({"head": True}, "'head' has to be a whole number"),
    ({"head": 0.5}, "'head' has to be a whole number"),
    ({"head": "0"}, "'head' has to be a whole number"),
    ({"instances": [{}, {}]}, ":attention takes one row at a time"),
  ],
)
def test_places_that_are_refused(client, places, error):
  found = client.post(
    "/v1/models/classifier:attention",
    json={"instances": [{"text": "a"}], **places},
  )
  assert found.status_code == 400 and error in found.json()["error"]


def test_a_body_that_comes_in_pieces_is_one(client):
  def pieces(count):
    yield b'{"instances": [{"text":'
    for _ in range(count):
      yield b" " * 1000
    yield b'"good"}]}'

  path = "/v1/models/classifier:predict"
  found = client.post(path, content=pieces(3))
  assert "label" in found.json()["predictions"][0]
  assert client.post(path, content=pieces(30)).status_code == 413
  assert client.post(path, content=pieces(1000)).status_code == 413


def test_a_full_queue_and_a_deadline(folders):
  held = Held()
  with app_of({"held": held}, max_queue=1, max_batch=1, deadline=5.0) as (
    app,
    service,
  ):
    client, found = TestClient(app), []

    def send():
      path = "/v1/models/held:predict"
      return client.post(path, json={"instances": [{"text": "a"}]})

    held.may_go.clear()
    threads = [
      threading.Thread(target=lambda: found.append(send())) for _ in range(2)
    ]
    threads[0].start()
    assert held.began.wait(20)
    threads[1].start()
    while not service._batcher.is_full:
      time.sleep(0.01)
    refused = send()
    assert refused.status_code == 503
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    assert refused.json()["error"] == "too many requests wait: try again later"
    for thread in threads:
      thread.join()
    assert [each.status_code for each in found] == [504, 504]
    assert found[0].json()["error"].startswith("the deadline is over: send")
    held.may_go.set()
    while service._batcher.is_full:
      time.sleep(0.01)
    assert ask(client, "held", {"text": "abc"}) == [{"length": 3}]


def test_a_defect_of_the_app_is_an_error_without_text(caplog, monkeypatch):
  with app_of({"held": Held()}) as (app, service):
    text = "my se" + "cret"
    monkeypatch.setattr(service, "find", lambda _: {}[text])
    client = TestClient(app, raise_server_exceptions=False)
    found = client.get("/v1/models/held")
  assert found.status_code == 500
  assert found.json() == {"error": "an error in the server"}
  assert "a request: KeyError" in caplog.text and "secret" not in caplog.text


# -------------------------------------------------------------------- keys


def test_requests_need_a_key(served, tmp_path):
  path = helpers.write(tmp_path / "keys", "first\n\n  second  \n")
  with app_of(served, keys=front.read_keys(path)) as (app, _):
    client = TestClient(app)
    for given, status in (
      ({}, 401),
      ({"Authorization": "Bearer third"}, 401),
      ({"Authorization": "Bearer "}, 401),
      ({"Authorization": "Basic first"}, 401),
      ({"Authorization": b"Bearer \xff"}, 401),
      ({"Authorization": "Bearer first"}, 200),
      ({"Authorization": "bearer second"}, 200),
    ):
      for where in ("/v1/models", "/metrics", "/v1/models/squad"):
        found = client.get(where, headers=given)
        assert found.status_code == status
      if status == 401:
        assert found.headers["www-authenticate"] == "Bearer"
        assert found.json()["error"].startswith("a key of this server is")
    assert client.get("/v1/nowhere").status_code == 401
    for where in ("/", "/docs", "/healthz", "/openapi.json", "/readyz"):
      assert client.get(where).status_code == 200
    schema = client.get("/openapi.json").json()
    predict_route = schema["paths"]["/v1/models/{name}:predict"]["post"]
    assert predict_route["security"] == [{"key": []}]
    assert "401" in predict_route["responses"]
    assert "403" not in predict_route["responses"]
    assert "security" not in schema["paths"]["/healthz"]["get"]


@pytest.mark.parametrize(
  ("text", "error"),
  [
    ("", "keys holds no key: give one a line"),
    ("\n  \n", "keys holds no key: give one a line"),
    ("first\nsecond key\n", "keys, line 2: a key has no spaces"),
    ("sécond\n", "keys, line 1: a key has no spaces, and ASCII"),
  ],
)
def test_a_file_of_keys_has_keys(text, error, tmp_path):
  with pytest.raises(ValueError, match=error):
    front.read_keys(helpers.write(tmp_path / "keys", text))


def test_a_server_of_this_machine_has_no_other_name():
  hosts = front.hosts_of("Mine", "127.0.0.1")
  with app_of({"held": Held()}, hosts=hosts) as (app, _):
    client = TestClient(app)
    for host, status in (
      *(("localhost", 200), ("127.0.0.1:8501", 200), ("[::1]:8501", 200)),
      *(("mine", 200), ("LOCALHOST:1", 200), ("", 200)),
      *(("evil.example", 403), ("localhost.evil.example:8501", 403)),
      *(("[::2]", 403), ("evil.example:localhost", 403)),
    ):
      found = client.get("/v1/models/held", headers={"Host": host})
      assert found.status_code == status, host
      if status == 403:
        assert found.json()["error"].startswith("the server answers to the na")
    headers = {"Host": "localhost"}
    schema = client.get("/openapi.json", headers=headers).json()
    for path in ("/healthz", "/v1/models"):
      assert "403" in schema["paths"][path]["get"]["responses"]
  assert b"[::1]" in front.hosts_of("::1", "::1")
  for address in ("0.0.0.0", "::", "192.0.2.1"):  # anyone is to reach it
    assert not front.hosts_of("localhost", address)


# --------------------------------------------------------------- the script


@pytest.mark.parametrize(
  ("given", "expected"),
  [
    (["out/a", "/b/c/", "gs://d/e"], ["a", "c", "e"]),
    (["a/best", "best/b/best/"], ["a", "b"]),
  ],
)
def test_models_have_the_names_of_their_folders(given, expected):
  assert models.names_of(given) == expected


@pytest.mark.parametrize(
  ("given", "error"),
  [
    (["a/b", "c/b"], "--model_dir=a/b,c/b: both models would be named 'b' aft"),
    (["a", "a/best"], "both models would be named 'a' after their folders"),
    (["/"], "a model is named after its folder, which '' is no name for"),
    (["a:b"], "which 'a:b' is no name for: rename it, without a colon"),
  ],
)
def test_names_that_are_refused(given, error):
  with pytest.raises(ValueError, match=error):
    models.names_of(given)


def run(*arguments):
  done = helpers.run(serve, "--port=0", *arguments)
  assert done.returncode == 1
  *before, error = done.stderr.splitlines()
  return error


def test_what_the_script_refuses(folders, tmp_path, monkeypatch):
  (tmp_path / "empty").mkdir()
  keys = helpers.write(tmp_path / "keys", "")
  texts = helpers.write(tmp_path / "texts", "a\n")
  classifier = f"--model_dir={folders['classifier']}"
  for arguments, words in (
    ([f"--model_dir={tmp_path}/empty"], "empty holds no trained model"),
    ([f"--model_dir={tmp_path}/none"], "error: there is no folder "),
    (["--model_dir=a,b/a"], "models would be named 'a'"),
    ([classifier, f"--api_key_file={keys}"], "keys holds no key"),
    (
      [classifier, f"--response_file={texts}"],
      "needs one --model_dir of run_r",
    ),
    ([f"{classifier},b", "--checkpoint=c"], "is of one model: give one --mode"),
    ([classifier, "--host=nowhere.invalid"], "can't listen on --host=nowhere."),
    ([classifier, "--host=192.0.2.1"], "can't listen on --host=192.0.2.1 --po"),
    ([classifier, "--max_rows=0"], "--max_rows"),
    ([], "--model_dir"),
  ):
    assert words in run(*arguments), arguments
  find = importlib.util.find_spec
  monkeypatch.setattr(
    importlib.util,
    "find_spec",
    lambda name, *_: None if name in ("fastapi", "orjson") else find(name),
  )
  assert run(classifier) == (
    "error: serve.py needs fastapi, orjson: pip install -r"
    " requirements-serve.txt"
  )


def test_a_large_request_locks_nobody_out():
  """It is refused if its own windows can't be computed in time."""
  path, held = "/v1/models/held:predict", Held()
  with app_of({"held": held}, max_queue=100, max_batch=8) as (app, service):
    client = TestClient(app)

    def post(count):
      return client.post(path, json={"instances": [{"text": "four"}] * count})

    refused = post(101)
    assert refused.status_code == 413
    assert refused.json()["error"] == (
      "the rows make 101 windows, and 100 are the most: send fewer rows"
    )
    held.may_go.clear()
    found = []
    large = threading.Thread(target=lambda: found.append(post(100)))
    large.start()
    assert held.began.wait(20)
    service._batcher._rate = 9.0  # 8 windows and 92 that wait: 11 seconds
    small = threading.Thread(target=lambda: found.append(post(1)))
    small.start()
    while service._batcher.num_waiting < 93:
      time.sleep(0.01)
    refused = post(100)
    assert refused.status_code == 503
    assert refused.headers["retry-after"] == "12"
    assert refused.json()["error"] == (
      "the 100 windows of the rows would take 22 seconds, and 10 are the most:"
      " send fewer rows"
    )
    held.may_go.set()
    small.join()
    large.join()
  assert [answer.status_code for answer in found] == [200, 200]
  assert sorted(len(answer.json()["predictions"]) for answer in found) == [
    1,
    100,
  ]


def test_what_is_full_when_the_body_has_come_is_refused():
  """Of the queue and of the memory for bodies, whichever is full first."""
  with app_of({"held": Held()}, max_queue=1, max_body=1000) as (app, service):
    client = TestClient(app)

    def body(then):
      yield b'{"instances": [{"text":'
      then()
      yield b'"good"}]}'

    def post(then=lambda: None):
      return client.post("/v1/models/held:predict", content=body(then))

    assert post().status_code == 200
    assert service._num_bytes == 0
    service._num_bytes = 64 * 1000 - 31
    assert post().json()["error"] == (
      "too many large requests wait: try again later"
    )
    assert service._num_bytes == 64 * 1000 - 31
    service._num_bytes = 64 * 1000 - 32
    assert post().status_code == 200
    found = post(lambda: setattr(service, "_num_in_threads", 64))
    assert found.status_code == 503
    assert found.json()["error"] == "too many requests wait: try again later"


@pytest.mark.filterwarnings(
  "ignore::pytest.PytestUnhandledThreadExceptionWarning"
)
def test_a_server_that_computes_nothing_says_so():
  held = Held()

  def run(windows):
    raise SystemExit  # no Exception: it ends the thread

  held.run = run
  with app_of({"held": held}, deadline=0.2) as (app, service):
    client = TestClient(app)
    assert client.get("/healthz").status_code == 200

    def post():
      body = {"instances": [{"text": "a"}]}
      return client.post("/v1/models/held:predict", json=body)

    assert post().status_code == 504
    service._batcher._threads[0].join(20)
    for found in (post(), client.get("/healthz"), client.get("/readyz")):
      assert found.status_code == 503
      assert found.json()["error"] == (
        "the server computes nothing any more: it has to be started again"
      )
