# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Answers line by line: their form, bad lines, batches, and a live stream."""

import io
import json
import pathlib
import signal
import subprocess
import sys

import helpers
import pytest

import predict
from bert.records import streams
from bert.training import trained_model

ROOT = pathlib.Path(__file__).parent.parent


def answers(predictor, *lines):
  """The answers to lines of text, in batches of two."""
  numbered = predict.numbered_lines(io.BytesIO(b"".join(lines)))
  batches = streams.as_they_come(numbered, 2)
  return list(predict.answer_lines(batches, predictor))


@pytest.fixture
def predictor(classifier):
  return trained_model.Predictor(trained_model.find_model(str(classifier())))


def test_a_bad_line_is_told_and_the_others_are_answered(predictor):
  good = b'{"id": 7, "text_a": "good day", "text_b": "two"}\n'
  found = answers(
    predictor,
    b"\xef\xbb\xbf" + good,
    b"good\n",
    b"\n",
    b'{"id": "x", "text": 3}\n',
    b'{"id": "y"}\n',
    b'["text"]\n',
    b"[" * 100000 + b"\n",
    b'{"text": "\xff"}\n',
    b'{"text_b": null, "text_a": ""}\n',
    good.rstrip(),  # the last one has no line's end
  )
  errors = [answer.get("error", "") for answer in found]
  assert [error.partition(":")[0] for error in errors] == [
    *("", "line 2", "line 4", "line 5", "line 6", "line 7", "line 8", "", "")
  ]
  for error, words in zip(
    filter(None, errors),
    (
      "not JSON: Expecting value",
      "'text' has to be a text, not 3",
      "no key 'text_a', only 'id': give a row such as {",
      "a JSON object is expected, such as {",
      "too many nested brackets",
      "not UTF-8: byte 10 is 0xff",
    ),
  ):
    assert words in error
  assert [answer.get("id") for answer in found[2:4]] == ["x", "y"]
  assert list(found[0]) == ["id", "label", "probabilities"]
  assert found[-1]["id"] == 7
  assert found[-1]["probabilities"] == pytest.approx(found[0]["probabilities"])


def test_rows_have_as_many_texts_as_in_training(classifier, tmp_path):
  """A note from before `second_text` takes both, as the test above shows."""
  folders = [
    classifier(folder=tmp_path / str(given), second_text=given)
    for given in (True, False)
  ]
  pair, single = (
    trained_model.Predictor(trained_model.find_model(str(folder)))
    for folder in folders
  )
  assert list(pair.example) == ["text_a", "text_b"]
  assert list(single.example) == ["text_a"]
  lines = (
    b'{"text": "good", "text_b": "bad"}\n',
    b'{"text": "good"}\n',
    b'{"text": "good", "text_b": null}\n',
  )
  found = [answer.get("error", "") for answer in answers(pair, *lines)]
  assert found[0] == ""
  assert found[1].startswith("line 2: no key 'text_b', only 'text': give a row")
  assert found[2] == "line 3: 'text_b' has to be a text, not null"
  found = [answer.get("error", "") for answer in answers(single, *lines)]
  assert found[0].startswith("line 1: the model was trained on single texts")
  assert found[1:] == ["", ""]


def test_null_and_lists_are_no_texts(classifier):
  folder = classifier(text_template="{size} {text}")
  model = trained_model.find_model(str(folder))
  found = answers(
    trained_model.Predictor(model),
    b'{"text": null, "size": 1}\n',
    b'{"text": "good", "size": [1]}\n',
    b'{"text": "\\ud800", "size": 1}\n',
  )
  assert [answer.get("error", "") for answer in found] == [
    "line 1: 'text' has to be a text, not null",
    "line 2: 'size' has to be a text, not [1]",
    "",
  ]


def test_without_standard_input_there_is_nothing_to_answer(monkeypatch):
  monkeypatch.setattr(sys, "stdin", None)
  with pytest.raises(ValueError, match="standard input is closed"):
    predict.main(predict.Options(model_dir="nowhere"))


def test_a_program_can_talk_to_it_line_by_line(squad_model):
  command = [sys.executable, str(ROOT / "predict.py")]
  with subprocess.Popen(
    [*command, f"--model_dir={squad_model()}"],
    stdin=subprocess.PIPE,
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    encoding="utf-8",
  ) as process:
    for i in range(2):
      row = {"id": i, "question": "one?", "context": "the café, one good day"}
      print(json.dumps(row), file=process.stdin, flush=True)
      answer = json.loads(process.stdout.readline())
      assert answer["id"] == i
      assert answer["text"] == row["context"][answer["start"] : answer["end"]]
    print('{"question": "one?"}', file=process.stdin, flush=True)
    error = json.loads(process.stdout.readline())["error"]
    assert error.startswith("line 3: no key 'context', only 'question'")
    process.stdin.close()
    assert process.wait(60) == 0
    log = process.stderr.read()
  assert log.startswith("ready: squad with ") and log.count("\n") == 1


def test_ctrl_c_ends_it_while_it_waits_for_a_line(classifier):
  process = helpers.start_process("predict.py", f"--model_dir={classifier()}")
  print('{"text": "good day"}', file=process.stdin, flush=True)
  assert "label" in json.loads(process.stdout.readline())
  process.send_signal(signal.SIGINT)
  assert process.wait(20) == 130
  output, log = process.communicate()
  assert output == "" and log.startswith("ready: classifier with ")
  assert log.endswith("\ninterrupted\n") and log.count("\n") == 2
