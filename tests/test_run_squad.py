# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Questions and their answers: the original's values, bad data, whole runs."""

import json
import math
import re
from typing import NamedTuple

import helpers
import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import modeling
import run_squad
import tokenization
from bert.tasks import answers as squad_answers
from bert.training import flags, trained_model

GOLDEN = helpers.GOLDEN
FILLERS = ["day", "road", "tree", "lamp", "rain", "wind", "moon", "shop"]
NUMBERS = ["two", "five", "nine", "ten"]
CONFIG = {
  "vocab_size": 20,
  "hidden_size": 16,
  "num_hidden_layers": 1,
  "num_attention_heads": 2,
  "intermediate_size": 16,
  "max_position_embeddings": 24,
  "type_vocab_size": 2,
  "hidden_dropout_prob": 0.0,
  "attention_probs_dropout_prob": 0.0,
  "initializer_range": 0.2,  # learns at once, whatever the seed
}


def golden(name):
  return json.loads((GOLDEN / f"{name}.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def tokenizer():
  return tokenization.FullTokenizer(str(GOLDEN / "vocab.txt"))


# --------------------------------------------------------------- examples


def squad(*paragraphs):
  """SQuAD's JSON of (context, *(id, question, *(text, start)))."""
  return {
    "data": [
      {
        "paragraphs": [
          {
            "context": context,
            "qas": [
              {
                "id": name,
                "question": question,
                "answers": [
                  {"text": text, "answer_start": start}
                  for text, start in answers
                ],
              }
              for name, question, *answers in questions
            ],
          }
          for context, *questions in paragraphs
        ]
      }
    ]
  }


def write(folder, name, value):
  text = value if isinstance(value, str) else json.dumps(value)
  return helpers.write(folder / name, text)


def test_an_answer_is_found_in_the_words_of_its_context(tmp_path):
  context = "Rain\u202ffell  on\tthe (old)\nroof."
  data = squad((context, ("q", "Where?", ("the (old) roof", 14))))
  (example,) = run_squad.read_squad_examples(
    write(tmp_path, "a.json", data), True
  )
  assert example.doc_tokens == ["Rain", "fell", "on", "the", "(old)", "roof."]
  assert example.token_starts == [0, 5, 11, 14, 18, 24]
  assert (example.start_position, example.end_position) == (3, 5)
  assert example.orig_answer_text == "the (old) roof"
  assert not example.is_impossible


def test_questions_of_a_context_share_its_words(tmp_path):
  data = squad(("one two", ("a", "x?"), ("b", "y?")), ("three", ("c", "z?")))
  a, b, c = run_squad.read_squad_examples(
    write(tmp_path, "a.json", data), False
  )
  assert a.doc_tokens is b.doc_tokens is not c.doc_tokens
  assert a.answers is None


def test_questions_are_read_from_json_lines(tmp_path):
  path = write(
    tmp_path,
    "a.jsonl",
    '{"id": 7, "question": "Who?", "context": "It was Ann."}\n\n'
    '{"id": "b", "question": "When?", "context": "It was Ann.",'
    ' "answers": [{"text": "Ann", "answer_start": 7}]}\n',
  )
  first, second = run_squad.read_squad_examples(path, False)
  assert (first.qas_id, first.question_text) == ("7", "Who?")
  assert first.doc_tokens is second.doc_tokens
  assert (first.answers, second.answers) == (None, ["Ann"])


def test_answers_not_at_their_place_are_left_out_and_counted(tmp_path, caplog):
  data = squad(
    (
      "one two three",
      ("good", "?", ("two", 4)),
      ("moved", "?", ("two", 8)),
      ("behind", "?", ("four", 13)),
      ("negative", "?", ("one", -3)),
    )
  )
  path = write(tmp_path, "a.json", data)
  examples = run_squad.read_squad_examples(path, True)
  assert [example.qas_id for example in examples] == ["good"]
  assert "left out 3 of 4 questions" in caplog.text
  assert "the first is moved" in caplog.text
  assert "left out negative" not in caplog.text
  run_squad.read_squad_examples(path, True, verbose_logging=True)
  assert "left out negative: ('one', -3)" in caplog.text


def test_several_references_are_kept_for_scoring(tmp_path):
  data = squad(("one two", ("a", "?", ("one", 0), ("one two", 0))))
  path = write(tmp_path, "a.json", data)
  (example,) = run_squad.read_squad_examples(path, False)
  assert example.answers == ["one", "one two"]
  with pytest.raises(ValueError, match=r"qas\[0\]: a has 2 answers"):
    run_squad.read_squad_examples(path, True)


def test_squad_2_without_its_flag_is_recognised(caplog):
  path = str(GOLDEN / "squad2.json")
  message = "SQuAD 2.0 data: 2 of 13 questions have no answer; the first is a2x"
  with pytest.raises(ValueError, match=message) as raised:
    run_squad.read_squad_examples(path, True)
  assert "give --version_2_with_negative" in str(raised.value)
  assert len(run_squad.read_squad_examples(path, False)) == 13
  assert message in caplog.text
  examples = run_squad.read_squad_examples(path, True, True)
  impossible = [example for example in examples if example.is_impossible]
  assert [example.qas_id for example in impossible] == ["a2x", "c4"]
  assert [example.answers for example in impossible] == [[], []]


GOOD = squad(("one two", ("a", "which?", ("one", 0))))


def changed(path, value):
  """GOOD with another value, or (...) without the last key of the path."""
  whole = json.loads(json.dumps(GOOD))
  part = whole
  for key in path[:-1]:
    part = part[key]
  if value is ...:
    del part[path[-1]]
  else:
    part[path[-1]] = value
  return whole


PARAGRAPH = ("data", 0, "paragraphs", 0)
QUESTION = (*PARAGRAPH, "qas", 0)
ANSWER = (*QUESTION, "answers", 0)


@pytest.mark.parametrize(
  ("data", "message"),
  [
    ("{", "a.json: not JSON"),
    ([], "a.json is not an object with the key 'data': is this SQuAD's"),
    ({"version": "1.1"}, "a.json is not an object with the key 'data': is"),
    (changed(("data", 0, "paragraphs"), ...), r"no key 'data\[0\].paragraphs'"),
    (
      changed((*PARAGRAPH, "context"), ...),
      r"no key '.*aphs\[0\].context': gi",
    ),
    (changed((*PARAGRAPH, "context"), " \n"), r"qas\[0\]: the context is empt"),
    (changed((*QUESTION, "question"), ""), r"qas\[0\]: the question is empty"),
    (changed((*QUESTION, "question"), None), "to be a text, not null"),
    (changed((*QUESTION, "question"), ["Who?"]), r"a text, not \[\"Who\?\"\]"),
    (
      changed((*QUESTION, "id"), ...),
      r"no key '.*qas\[0\].id': give a text or",
    ),
    (changed((*QUESTION, "id"), True), "to be a text or a whole number, not t"),
    (changed(QUESTION, "x"), r"qas\[0\]' has to be an object, not \"x\""),
    (
      changed((*ANSWER, "text"), ...),
      r"no key '.*answers\[0\].text': give a t",
    ),
    (
      changed((*ANSWER, "text"), 7),
      r"answers\[0\].text' has to be a text, not",
    ),
    (changed((*ANSWER, "answer_start"), "0"), 'a whole number, not "0"'),
    (changed((*ANSWER, "answer_start"), 0.5), "a whole number, not 0.5"),
    (changed((*QUESTION, "answers"), {}), "a list or null, not {}"),
    (
      changed((*QUESTION, "is_impossible"), "false"),
      r"qas\[0\].is_impossible' has to be true or false, not \"false\"",
    ),
    (changed((*QUESTION, "answers"), []), r"qas\[0\]: a has 0 answers"),
    (changed((*PARAGRAPH, "qas"), []), "has no question"),
    (changed((*ANSWER, "text"), "six"), "has no question that can be used"),
    (
      squad(("one", ("a", "?", ("one", 0))), ("x", ("a", "?", ("x", 0)))),
      r"paragraphs\[1\].qas\[0\] has the id a, and so has .*\[0\].qas\[0\]:",
    ),
  ],
)
def test_errors_name_the_place_in_the_file(tmp_path, data, message):
  path = write(tmp_path, "a.json", data)
  with pytest.raises(ValueError, match=message):
    run_squad.read_squad_examples(path, True)


def test_unreadable_files_are_named(tmp_path):
  (tmp_path / "a.json").write_bytes(b'{"data": "\xff"}')
  with pytest.raises(ValueError, match="not UTF-8: byte 10 is 0xff"):
    run_squad.read_squad_examples(str(tmp_path / "a.json"), True)
  with pytest.raises(ValueError, match="there is no data file .*none.json"):
    run_squad.read_squad_examples(str(tmp_path / "none.json"), True)
  path = write(tmp_path, "a.jsonl", '{"id": "a", "question": "b"}\n')
  with pytest.raises(ValueError, match="a.jsonl:1: no key 'context'"):
    run_squad.read_squad_examples(path, False)


# --------------------------------------------------------------- features


def windows(examples, tokenizer, *lengths, is_training=False):
  found = []
  counts = run_squad.convert_examples_to_features(
    examples, tokenizer, *lengths, is_training, found.append
  )
  assert counts.windows == len(found)
  return found, counts


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("mode", ["train", "predict"])
def test_features_equal_the_originals(tokenizer, version, mode):
  wanted = golden(f"squad_features_v{version}_{mode}")
  is_training = mode == "train"
  examples = run_squad.read_squad_examples(
    str(GOLDEN / ("squad.json" if version == 1 else "squad2.json")),
    is_training,
    version_2_with_negative=version == 2,
  )
  lengths = [
    wanted[name]
    for name in ("max_seq_length", "doc_stride", "max_query_length")
  ]
  found, counts = windows(
    examples, tokenizer, *lengths, is_training=is_training
  )
  assert len(found) == len(wanted["features"])
  for features, expected in zip(found, wanted["features"]):
    for name, value in expected.items():
      if isinstance(value, dict):
        value = {int(position): v for position, v in value.items()}
      assert getattr(features, name) == value, name
  if is_training:
    ends = [features["end_position"] for features in wanted["features"]]
    assert counts.without_answer == ends.count(0) > 0


class Words:
  """A tokenizer whose pieces are words; it keeps what it was given."""

  def __init__(self):
    self.calls = []

  def tokenize(self, text):
    self.calls.append(text)
    return text.split()

  def convert_tokens_to_ids(self, tokens):
    return [len(token) for token in tokens]


def example(words, question="q", **fields):
  return run_squad.SquadExample("id", question, words, **fields)


def test_a_context_is_tokenized_once():
  words, tokenizer = ["a", "b", "c"], Words()
  questions = [example(words, f"q{i}") for i in range(4)]
  windows(questions, tokenizer, 16, 4, 4)
  assert sorted(tokenizer.calls) == ["a", "b", "c", "q0", "q1", "q2", "q3"]


@pytest.mark.parametrize("count", [1, 6, 7, 20, 45])
@pytest.mark.parametrize("stride", [1, 3, 6, 9])
def test_a_piece_is_scored_where_it_has_the_most_context(count, stride):
  found, _ = windows(
    [example([str(i) for i in range(count)])], Words(), 10, stride, 1
  )
  room = 10 - 1 - 3
  spans, start = [], 0  # as the contract defines them
  while True:
    spans.append((start, min(room, count - start)))
    if start + room >= count:
      break
    start += min(room, stride)
  assert [f.tokens[3:-1] for f in found] == [
    [str(i) for i in range(first, first + size)] for first, size in spans
  ]

  def score(piece, first, size):
    left, right = piece - first, first + size - 1 - piece
    return min(left, right) + 0.01 * size if min(left, right) >= 0 else -1

  for piece in range(count):
    scores = [score(piece, *span) for span in spans]
    for index, (first, size) in enumerate(spans):
      if first <= piece < first + size:
        is_best = found[index].token_is_max_context[piece - first + 3]
        assert is_best == (index == scores.index(max(scores)))


def test_an_answer_is_narrowed_to_its_own_pieces(tokenizer):
  # Of "(1887-1923)." the answer is "1887"; of "to and to" the first "to".
  for words, answer, wanted in (
    (["in", "(1887-1923)."], "1887", "1 8 8 7"),
    (["to", "and", "to"], "to", "to"),
  ):
    (features,), _ = windows(
      [
        example(
          words,
          orig_answer_text=answer,
          start_position=words.index(words[-1]),
          end_position=len(words) - 1,
        )
      ],
      tokenizer,
      32,
      8,
      4,
      is_training=True,
    )
    span = features.tokens[features.start_position : features.end_position + 1]
    assert " ".join(span).replace("##", "") == wanted


def test_an_answer_span_is_the_first_inner_one_with_the_answers_pieces():
  pieces = ["(", "1895", "-", "1943", ")", ".", "1895"]

  def improve(start, end, answer):
    return run_squad._improve_answer_span(pieces, start, end, Words(), answer)

  assert improve(0, 5, "1895") == (1, 1)
  assert improve(0, 6, "1895 - 1943") == (1, 3)
  assert improve(2, 6, "1895") == (6, 6)
  assert improve(2, 5, "1895") == (2, 5)  # not in the span
  assert improve(2, 5, "") == (2, 5)


def test_a_long_answer_is_found_in_linear_time():
  # Compared piece by piece at each place, this would take many minutes.
  size = 300_000
  pieces = ["a"] * size + ["b"]
  answer = " ".join(pieces[size // 2 :])
  improve = run_squad._improve_answer_span
  assert improve(pieces, 0, size, Words(), answer) == (size // 2, size)
  answer = " ".join(["a"] * (size // 2) + ["c"])
  assert improve(pieces, 0, size, Words(), answer) == (0, size)


class DocSpan(NamedTuple):
  start: int
  length: int


def test_a_window_has_the_most_context_around_a_piece():
  spans = [DocSpan(0, 5), DocSpan(3, 5), DocSpan(6, 2)]

  def owners(position):
    return [
      run_squad._check_is_max_context(spans, index, position)
      for index in range(len(spans))
    ]

  # Piece 3 has min(3, 1) + 0.05 in the first window, min(0, 4) + 0.05 in the
  # second; piece 4 has 0 and 1; piece 6 has 1.05 in the second, 0.02 in the
  # third; piece 7 has 0.05 and 0.02.
  assert owners(3) == [True, False, False]
  assert owners(4) == [False, True, False]
  assert owners(6) == owners(7) == [False, True, False]
  assert owners(8) == [False, False, False]  # no window holds it
  assert owners(None) == [
    [True, True, True, True, False],
    [False, True, True, True, True],
    [False, False],
  ]
  twins = [DocSpan(0, 3), DocSpan(0, 3)]
  assert run_squad._check_is_max_context(twins, 0, 1) is True
  assert run_squad._check_is_max_context(twins, 1, 1) is False


def test_a_window_without_the_whole_answer_trains_at_0():
  words = [str(i) for i in range(10)]
  whole = example(
    words, orig_answer_text="5 6", start_position=5, end_position=6
  )
  impossible = example(words, is_impossible=True)
  found, counts = windows(
    [whole, impossible], Words(), 10, 4, 1, is_training=True
  )
  # Windows 0 to 5 and 4 to 9: the first holds only the 5.
  positions = [(f.start_position, f.end_position) for f in found]
  assert positions == [(0, 0), (4, 5), (0, 0), (0, 0)]
  assert counts.without_answer == 3
  assert [f.is_impossible for f in found] == [False, False, True, True]


def test_lengths_that_leave_no_window_are_refused():
  with pytest.raises(ValueError, match="max_seq_length=6 leaves no room"):
    windows([example(["a"], "x y z")], Words(), 6, 4, 8)
  with pytest.raises(ValueError, match="doc_stride=0"):
    windows([example(["a"])], Words(), 16, 0, 8)


def test_written_windows_are_read_back(tokenizer, tmp_path):
  examples = run_squad.read_squad_examples(str(GOLDEN / "squad.json"), True)
  path = str(tmp_path / "train.tf_record")
  found = []
  with run_squad.FeatureWriter(path, is_training=True) as writer:

    def write_and_keep(features):
      writer.process_feature(features)
      found.append(features)

    run_squad.convert_examples_to_features(
      examples, tokenizer, 48, 16, 16, True, write_and_keep
    )
  assert writer.filename == path
  assert writer.num_features == len(found) == 64
  assert writer.records.lengths == [len(f.tokens) for f in found]
  input_fn = run_squad.input_fn_builder(path, 48, False, False)
  batch = tf.data.make_one_shot_iterator(input_fn({"batch_size": 64}))
  with tf.Session() as session:
    rows = session.run(batch.get_next())
  assert "start_positions" not in rows
  for name, field in (("input_ids", "input_ids"), ("unique_ids", "unique_id")):
    wanted = [getattr(features, field) for features in found]
    np.testing.assert_array_equal(rows[name], wanted)
  training = run_squad.input_fn_builder(path, 48, True, False)
  batch = tf.data.make_one_shot_iterator(training({"batch_size": 64}))
  with tf.Session() as session:
    rows = session.run(batch.get_next())
  ends = {f.unique_id: f.end_position for f in found}
  assert rows["end_positions"].tolist() == [
    ends[unique_id] for unique_id in rows["unique_ids"].tolist()
  ]


# ------------------------------------------------------------------ model


def test_the_model_scores_every_position():
  ids = tf.placeholder(tf.int32, [None, None])
  logits = run_squad.create_model(
    modeling.BertConfig(**CONFIG), False, ids, ids, ids, False
  )
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    starts, ends = session.run(logits, {ids: np.ones([2, 7])})
  assert starts.shape == ends.shape == (2, 7)
  names = {v.op.name: v.shape.as_list() for v in tf.trainable_variables()}
  assert names["cls/squad/output_weights"] == [2, 16]
  assert names["cls/squad/output_bias"] == [2]


# ----------------------------------------------------------------- scores


@pytest.mark.parametrize("name", ["v1", "v2", "v2null", "v2nullwins"])
def test_predictions_equal_the_originals_to_the_byte(tokenizer, tmp_path, name):
  given = golden(f"squad_logits_{name}")
  is_v2 = given["version_2_with_negative"]
  examples = run_squad.read_squad_examples(
    str(GOLDEN / ("squad2.json" if is_v2 else "squad.json")), False, is_v2
  )
  found, _ = windows(examples, tokenizer, 48, 16, 16)
  results = [run_squad.RawResult(**result) for result in given["results"]]
  files = ["predictions", "nbest", "null_odds"]
  run_squad.write_predictions(
    examples,
    found,
    results[::-1],  # their order does not matter
    given["n_best_size"],
    given["max_answer_length"],
    given["do_lower_case"],
    *(str(tmp_path / file) for file in files),
    version_2_with_negative=is_v2,
    null_score_diff_threshold=given["null_score_diff_threshold"],
  )
  written = sorted(path.name for path in tmp_path.iterdir())
  assert written == sorted(files if is_v2 else files[:2])
  for file in written:
    wanted = (GOLDEN / f"squad_{name}_{file}.json").read_bytes()
    assert (tmp_path / file).read_bytes() == wanted, file


def test_the_best_places_are_the_highest_logits_first():
  best = run_squad._get_best_indexes
  assert best([0.5, 2.0, -1.0, 2.0, 1.0], 3) == [1, 3, 4]
  assert best([1.0, 1.0, 1.0], 2) == [0, 1]
  assert best(np.array([1.0, 3.0]), 9) == [1, 0]
  several = best(np.array([[1.0, 2.0, 3.0], [3.0, 0.0, 3.0]]), 2)
  assert several.tolist() == [[2, 1], [0, 2]]


def test_probabilities_of_scores():
  found = run_squad._compute_softmax([1000.0, 1000.0 + math.log(3.0)])
  assert isinstance(found, list)
  assert found == pytest.approx([0.25, 0.75])
  assert run_squad._compute_softmax([]) == []


def test_final_texts_equal_the_originals():
  cases = golden("squad_final_text")
  assert len(cases) == 12
  for case in cases:
    found = run_squad.get_final_text(case["pred_text"], case["orig_text"], True)
    assert found == case["final_text"], case


def logits(size, **values):
  """Logits of -9, except those given, such as p3=1.5."""
  found = np.full(size, -9.0, np.float32)
  for name, value in values.items():
    found[int(name[1:])] = value
  return found


def answer(starts, ends, version_2=False, threshold=0.0, **fields):
  """The prediction for "The U.S.  Army left" and [CLS] q [SEP] ... [SEP]."""
  words, places = ["The", "U.S.", "Army", "left"], [0, 4, 10, 15]
  question = example(words, token_starts=places, **fields)
  found, _ = windows([question], tokenization_of(words), 16, 8, 4)
  result = run_squad.RawResult(found[0].unique_id, starts, ends)
  return run_squad.find_answers(
    [question], found, [result], 3, 5, True, version_2, threshold
  )[0]


def tokenization_of(words):
  """[CLS] q [SEP] the u . s . army left [SEP] are positions 0 to 10."""
  tokenizer = Words()
  basic = tokenization.BasicTokenizer(True)
  tokenizer.tokenize = basic.tokenize
  return tokenizer


def test_an_answer_has_its_place_in_the_context():
  found = answer(logits(16, p4=3), logits(16, p8=3, p6=1)).answers
  assert [(a.text, a.start, a.end, a.window) for a in found] == [
    ("U.S. Army", 4, 14, 0),
    ("U.S", 4, 7, 0),
  ]
  weights = np.exp([6.0, 4.0])
  np.testing.assert_allclose(
    [a.probability for a in found], weights / weights.sum(), rtol=1e-6
  )


def test_only_spans_of_the_context_are_answers():
  # Starts in the question, at [CLS] and behind the end; a span too long.
  starts = logits(16, p0=9, p1=8, p9=3)
  found = answer(starts, logits(16, p4=9, p9=2, p10=8))
  assert [a.text for a in found.answers] == ["left"]
  found = answer(logits(16, p3=9, p0=8, p1=7), logits(16, p9=9, p0=8, p1=7))
  assert [(a.text, a.probability) for a in found.answers] == [("empty", 1.0)]


@pytest.mark.parametrize("text", ["\u5000\u5001", "\uac00,"])
def test_a_context_without_spaces_is_searched_in_linear_time(tokenizer, text):
  """Once, not for each of its many spans: that would take a minute."""
  context = text * 100_000
  words, places = squad_answers.split_context(context)
  question = example(words, token_starts=places)
  found, _ = windows([question], tokenizer, 384, 128, 64)
  rng = np.random.RandomState(0)
  results = [
    run_squad.RawResult(f.unique_id, rng.randn(384), rng.randn(384))
    for f in found
  ]
  squad_answers._spaced_alike.cache_clear()
  (prediction,) = run_squad.find_answers(
    [question], found, results, 20, 30, True, True
  )
  assert squad_answers._spaced_alike.cache_info().misses <= 1
  # No span is to be found in the words, so all of them are the answer.
  assert [a.text for a in prediction.answers] == [context, ""]


def test_padding_may_be_cut_off():
  starts, ends = logits(16, p4=3), logits(16, p8=3)
  assert answer(starts[:11], ends[:11]) == answer(starts, ends)


def test_no_answer_is_predicted_by_its_odds():
  starts, ends = logits(16, p0=2, p8=3), logits(16, p0=2.5, p8=1)
  found = answer(starts, ends, version_2=True)
  assert (found.answer.text, found.null_odds) == ("", 0.5)
  assert [a.text for a in found.answers] == ["", "Army"]
  found = answer(starts, ends, version_2=True, threshold=0.5)
  assert found.answer.text == "Army"


def test_no_answer_is_predicted_if_nothing_else_is_left():
  starts, ends = logits(16, p0=1, p1=9, p2=8), logits(16, p0=1, p1=9, p2=8)
  found = answer(starts, ends, version_2=True)
  assert (found.answer.text, found.null_odds) == ("", 2.0)
  assert [a.text for a in found.answers] == [""]


def test_a_context_without_pieces_has_an_empty_answer():
  question = example(["\u200b"])
  tokenizer = Words()
  tokenizer.tokenize = tokenization.BasicTokenizer().tokenize
  found, _ = windows([question], tokenizer, 16, 8, 4)
  assert found == []
  for version_2, text in ((False, "empty"), (True, "")):
    (prediction,) = run_squad.find_answers(
      [question], found, [], 3, 4, True, version_2
    )
    assert prediction.answer.text == text


def test_missing_results_and_nan_logits_are_errors():
  for damaged in (np.nan, np.inf, -np.inf):
    with pytest.raises(ValueError, match="the logits are NaN or infinite"):
      answer(logits(16, p3=damaged), logits(16))
  found, _ = windows([example(["a"])], Words(), 16, 8, 4)
  with pytest.raises(ValueError, match="1 of 1 windows have no result"):
    run_squad.find_answers([example(["a"])], found, [], 3, 4, True)


def prediction(text, *others, odds=None):
  answers = [squad_answers.Answer(t, 0.0, 0.0) for t in (text, *others)]
  return run_squad.Prediction("id", answers[0], answers, odds)


def test_questions_without_known_answers_are_not_scored():
  questions = [example([], answers=a) for a in (["one"], None, ["x", "two"])]
  predictions = [prediction("One"), prediction("two"), prediction("two")]
  assert run_squad.compute_scores(questions, predictions) == {
    "eval_exact_match": 100.0,
    "eval_f1": 100.0,
    "eval_total": 2,
  }
  assert run_squad.compute_scores(questions[1:2], predictions[1:2]) == {}


def test_thresholds_are_searched_over_the_best_texts():
  questions = [example([], answers=a) for a in (["one"], [])]
  predictions = [
    prediction("", "one", odds=1.0),  # wrong at a threshold of 0
    prediction("two", "", odds=2.0),
  ]
  scores = run_squad.compute_scores(questions, predictions)
  assert scores["eval_f1"] == 0.0
  assert (scores["eval_best_f1"], scores["eval_best_f1_threshold"]) == (100, 1)


# ------------------------------------------------------------------- main


def number_questions(rng, count, name):
  """Contexts of filler words with at most one number, asked "how many"."""
  paragraphs = []
  for i in range(count):
    words = [str(word) for word in rng.choice(FILLERS, rng.randint(2, 14))]
    answers = []
    if i % 4:
      place = rng.randint(len(words))
      words[place:place] = [str(rng.choice(NUMBERS))]
      start = len(" ".join([*words[:place], ""]))
      answers = [(words[place], start)]
    paragraphs.append((" ".join(words), (f"{name}{i}", "how many", *answers)))
  whole = squad(*paragraphs)
  for paragraph in whole["data"][0]["paragraphs"]:
    (row,) = paragraph["qas"]
    row["is_impossible"] = not row["answers"]
  return whole


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
  folder = tmp_path_factory.mktemp("data")
  tokens = [*tokenization.SPECIAL_TOKENS, *FILLERS, *NUMBERS, "how", "many"]
  write(folder, "vocab.txt", "\n".join(tokens) + "\n")
  write(folder, "bert_config.json", CONFIG)
  rng = np.random.RandomState(0)
  write(folder, "train.json", number_questions(rng, 96, "t"))
  write(folder, "dev.json", number_questions(rng, 24, "d"))
  write(folder, "one.json", GOOD)
  write(
    folder,
    "asked.jsonl",
    '{"id": "x", "question": "how many", "context": "day tree  nine lamp"}\n',
  )
  return folder


def arguments(output_dir, *more):
  """A small run in the folder of the data."""
  return (
    f"--output_dir={output_dir}",
    "--vocab_file=vocab.txt",
    "--bert_config_file=bert_config.json",
    "--train_file=train.json",
    "--max_seq_length=12",
    "--max_query_length=2",
    "--doc_stride=4",
    "--train_batch_size=8",
    "--learning_rate=1e-2",
    "--num_train_epochs=6",
    *more,
  )


def read_lines(path):
  return [json.loads(line) for line in path.read_text().splitlines()]


def contexts_of(path):
  """{id of a question: its context} in SQuAD's JSON."""
  (article,) = json.loads(path.read_text())["data"]
  return {
    row["id"]: paragraph["context"]
    for paragraph in article["paragraphs"]
    for row in paragraph["qas"]
  }


@pytest.fixture(scope="module")
def trained(data_dir, tmp_path_factory):
  """A whole run from training to scored answers: its folder and its log."""
  output_dir = tmp_path_factory.mktemp("run") / "out"
  with pytest.MonkeyPatch.context() as patch:
    patch.chdir(data_dir)
    done = helpers.run(
      run_squad,
      *arguments(output_dir, "--version_2_with_negative"),
      *("--do_train", "--do_predict", "--predict_file=dev.json", "--report"),
      *("--eval_steps=36", "--keep_best=f1", "--log_steps=12"),
    )
  assert done.returncode == 0, done.stderr
  return output_dir, done.stderr


@pytest.mark.slow
def test_a_run_trains_scores_and_answers(data_dir, trained):
  output_dir, log = trained
  assert re.search(
    r"train: 96 questions, \d+ windows, \d+ of which hold no answer", log
  )
  assert re.search(r"eval: \d+ examples.*cut to lengths 8, 12", log)
  assert "training: steps 0 to 72, batch 8, 96 examples = 6.00 epochs" in log
  assert "step 36 evaluated: eval_HasAns_exact_match" in log

  results = (output_dir / "eval_results.txt").read_text().splitlines()
  scores = dict(line.split(" = ") for line in results)
  assert list(scores) == sorted(scores)
  assert float(scores["eval_f1"]) >= 90
  assert scores["eval_NoAns_total"] == "6"
  assert float(scores["eval_best_f1"]) >= float(scores["eval_f1"])
  whole = json.loads((output_dir / "eval_results.json").read_text())
  assert whole["eval_f1"] == float(scores["eval_f1"])

  predictions = json.loads((output_dir / "predictions.json").read_text())
  assert list(predictions) == [f"d{i}" for i in range(24)]
  odds = json.loads((output_dir / "null_odds.json").read_text())
  assert list(odds) == list(predictions)
  contexts = contexts_of(data_dir / "dev.json")
  for line in read_lines(output_dir / "predictions.jsonl"):
    assert line["text"] == predictions[line["id"]]
    assert line["null_odds"] == odds[line["id"]]
    for found in line["answers"]:
      if found["text"]:
        context = contexts[line["id"]]
        assert context[found["start"] : found["end"]] == found["text"]


@pytest.mark.slow
def test_a_report_keeps_the_questions_with_known_answers(data_dir, trained):
  output_dir, _ = trained
  head, *rows = read_lines(output_dir / "eval_predictions.jsonl")
  assert head["task"] == "squad" and head["version_2_with_negative"]
  lines = read_lines(output_dir / "predictions.jsonl")
  assert [row["prediction"] for row in rows] == [line["text"] for line in lines]
  assert [row["null_odds"] for row in rows] == [
    line["null_odds"] for line in lines
  ]
  assert sum(not row["answers"] for row in rows) == 6
  assert {row["windows"] for row in rows} >= {1, 2}
  page = (output_dir / "report.html").read_text(encoding="utf-8")
  assert "Thresholds of no answer" in page and "learning rate" in page


@pytest.mark.slow
def test_a_trained_folder_gives_the_answers_of_the_run(data_dir, trained):
  output_dir, _ = trained
  predictor = trained_model.Predictor(trained_model.find_model(str(output_dir)))
  contexts = contexts_of(data_dir / "dev.json")
  lines = read_lines(output_dir / "predictions.jsonl")
  assert len(lines) == len(contexts)
  for line in lines:
    name, question = line.pop("id"), line.pop("question")
    windows, kept = predictor.prepare(
      {"question": question, "context": contexts[name]}
    )
    answer = predictor.answer(kept, predictor.run(windows))
    assert list(answer) == list(line)
    for found, wanted in (
      (answer, line),
      *zip(answer.pop("answers"), line.pop("answers")),
    ):
      assert found == pytest.approx(wanted, rel=1e-4, abs=1e-4)


@pytest.mark.slow
def test_json_lines_are_answered(data_dir, trained, monkeypatch):
  output_dir, _ = trained
  monkeypatch.chdir(data_dir)
  done = helpers.run(
    run_squad,
    *arguments(output_dir, "--version_2_with_negative"),
    *("--do_predict", "--predict_file=asked.jsonl"),
  )
  assert done.returncode == 0, done.stderr
  (found,) = read_lines(output_dir / "predictions.jsonl")
  assert (found["text"], found["start"], found["end"]) == ("nine", 10, 14)


@pytest.mark.parametrize(
  ("more", "message"),
  [
    ((), "nothing to do: give at least one of --do_train, --do_predict"),
    (["--do_train", "--train_file="], "--do_train needs --train_file"),
    (["--do_predict"], "--do_predict needs --predict_file"),
    (["--do_train", "--eval_steps=5"], "--eval_steps needs --predict_file"),
    (
      ["--do_train", "--max_query_length=9"],
      "max_seq_length=12 leaves no room for the context beside a question of 9",
    ),
    (["--do_train"], "give --version_2_with_negative"),
    (["--do_train", "--train_file=one.json"], "do not fill one step"),
    (
      ["--do_predict", "--predict_file=one.json"],
      "holds no trained model: train first",
    ),
    (
      [
        *("--do_train", "--version_2_with_negative", "--eval_steps=5"),
        "--predict_file=asked.jsonl",
      ],
      "--predict_file=asked.jsonl has no answers",
    ),
    (
      ["--do_train", "--eval_steps=5", "--predict_file=x", "--keep_best=loss"],
      "--keep_best=eval_loss is not a score of this task",
    ),
    (["--do_train", "--max_seq_length=25"], "max_position_embeddings=24"),
    (["--do_train", "--use_tpu"], "--use_tpu needs --tpu_name"),
    (["--do_train", "--doc_stride=0"], "doc_stride"),
  ],
)
def test_flags_that_do_not_fit_give_one_sentence(
  data_dir, tmp_path, monkeypatch, more, message
):
  monkeypatch.chdir(data_dir)
  done = helpers.run(run_squad, *arguments(tmp_path / "out", *more))
  assert done.returncode == 1
  assert message in done.stderr
  assert "Traceback" not in done.stderr


def test_options_are_checked_with_a_configuration(tmp_path):
  config = modeling.BertConfig(**CONFIG)

  def validate(**given):
    given = {"output_dir": str(tmp_path), **given}
    options = run_squad.Options(**given)
    return run_squad.validate_flags_or_throw(config, options)

  longest = config.max_position_embeddings
  fits = {
    "do_train": True,
    "train_file": "x",
    "max_seq_length": longest,
    "max_query_length": longest - 4,
  }
  assert validate(**fits).max_seq_length == longest
  for changes, message in (
    ({"do_train": False}, "give at least one of --do_train, --do_predict"),
    ({"train_file": None}, "--do_train needs --train_file"),
    ({"do_predict": True}, "--do_predict needs --predict_file"),
    ({"max_seq_length": longest + 1}, "is over max_position_embeddings"),
    ({"max_query_length": longest - 3}, "leaves no room for the context"),
  ):
    with pytest.raises(ValueError, match=message):
      validate(**{**fits, **changes})
  with pytest.raises(ValueError, match="not defined: call flags.define"):
    run_squad.validate_flags_or_throw(config)


def test_flags_that_fit_become_the_note(data_dir, tmp_path, monkeypatch):
  monkeypatch.chdir(data_dir)
  options, _ = flags.parse(
    run_squad.Options,
    arguments(tmp_path / "out", "--do_train", "--version_2_with_negative"),
  )
  job = run_squad.prepare(options)
  assert job.num_train_steps == 72
  assert job.task.note == run_squad.SquadNote(
    task="squad",
    version_2_with_negative=True,
    do_lower_case=True,
    max_seq_length=12,
    max_query_length=2,
    doc_stride=4,
    n_best_size=20,
    max_answer_length=30,
    null_score_diff_threshold=0.0,
  )
