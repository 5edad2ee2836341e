# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Any bytes are rows, or one sentence that names the file; written is read.

CoNLL files, SQuAD's JSON, rows to rank, JSON lines, and TREC's files.
"""

import copy
import csv
import json

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

import run_ranker
import run_squad
import run_tagger
import tokenization
from bert.files import writing
from bert.tasks import metrics, ranking_data, tagging

few = hypothesis.settings(
  deadline=None, max_examples=60, derandomize=True, database=None
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  return tmp_path_factory.mktemp("properties")


def bytes_of(*parts):
  """Bytes of parts that matter to a format, and of any others."""
  return st.lists(st.sampled_from(parts) | st.binary(max_size=3)).map(b"".join)


def texts(*parts):
  """As `bytes_of`, but UTF-8."""
  characters = st.characters(exclude_categories=("Cs",))
  pieces = st.sampled_from(parts) | st.text(characters, max_size=3)
  return st.lists(pieces).map(lambda found: "".join(found).encode())


def read(function, path, data, *arguments):
  """What a function reads from a file; None after one good sentence."""
  path.write_bytes(data)
  try:
    return function(str(path), *arguments)
  except ValueError as error:
    assert str(path) in str(error) and "\n" not in str(error)
    return None


VALUES = st.recursive(
  st.none()
  | st.booleans()
  | st.integers()
  | st.integers(10**30, 10**31)
  | st.floats()
  | st.text(max_size=3)
  | st.sampled_from(["", " ", "\ud800", "a b", "\u202f", "\x00", "[UNK]"]),
  lambda inner: (
    st.lists(inner, max_size=2)
    | st.dictionaries(st.text(max_size=3), inner, max_size=2)
  ),
  max_leaves=4,
)


def places(value, at=()):
  """The path of each part of a JSON value."""
  yield at
  entries = value.items() if isinstance(value, dict) else ()
  entries = enumerate(value) if isinstance(value, list) else entries
  for key, part in entries:
    yield from places(part, (*at, key))


def replaced(whole, place, value):
  """A JSON value with another part; `...` leaves it out."""
  whole, (*path, last) = [copy.deepcopy(whole)], (0, *place)
  part = whole
  for key in path:
    part = part[key]
  part[last] = value
  if value is ...:
    del part[last]
  return whole[0] if whole else None


# ------------------------------------------------------------------ tagger

FIELDS = ("a", "b c", " ", "\t", "\n", "\r", "\r\n", "O", "B-X", "I-X", "\n\n")
OTHERS = ("-DOCSTART-", "\x85", "\u2028", "\xa0", "\0", "\x1c", "é", "\u200b")


@few
@hypothesis.given(
  data=bytes_of(*(f.encode() for f in (*FIELDS, *OTHERS)))
  | texts(*FIELDS, *OTHERS)
  | texts("a O\n", "a\tO\n", "\n", "b c\tB-X\n", "-DOCSTART- O\n", "a\n"),
  has_tags=st.booleans(),
)
def test_conll_files(folder, data, has_tags):
  hypothesis.assume(not data.startswith("\ufeff".encode() * 2))
  path = folder / "a.txt"
  sentences = read(run_tagger.read_conll, path, data, has_tags)
  if sentences is None:
    return
  for sentence in sentences:
    assert sentence.words and sentence.line >= 1
    assert sentence.tags is None or len(sentence.tags) == len(sentence.words)
  tags = [["B-X"] * len(sentence.words) for sentence in sentences]
  writing.write_lines(str(path), run_tagger.conll_lines(sentences, tags))
  again = run_tagger.read_conll(str(path))
  assert [s.words for s in again] == [s.words for s in sentences]
  assert [s.tags for s in again] == tags


@pytest.fixture(scope="module")
def tokenizer(folder):
  path = folder / "vocab.txt"
  path.write_text("\n".join([*tokenization.SPECIAL_TOKENS, "a", "b", "##c"]))
  return tokenization.FullTokenizer(str(path))


ROWS = st.fixed_dictionaries(
  {},
  optional={
    "text": VALUES,
    "tokens": st.lists(st.text(max_size=3), max_size=3) | VALUES,
  },
)


@few
@hypothesis.given(rows=st.lists(ROWS | VALUES, max_size=2))
def test_rows_to_tag(folder, tokenizer, rows):
  path = folder / "b.jsonl"
  data = "\n".join(map(json.dumps, rows)).encode()
  sentences = read(run_tagger.read_json_lines, path, data, tokenizer)
  if sentences is None:
    return
  tags = [["O"] * len(sentence.words) for sentence in sentences]
  lines = run_tagger.json_lines(sentences, tags, "bio")
  writing.write_lines(str(path), lines)
  again = path.read_text(encoding="utf-8").split("\n")[:-1]
  assert [json.loads(line)["tokens"] for line in again] == [
    list(sentence.words) for sentence in sentences
  ]
  for sentence in sentences:
    assert len(tagging.tagged_fields(sentence, [], "none")["tokens"]) >= 0


# ------------------------------------------------------------------- SQuAD

QUESTION = {
  "id": "q",
  "question": "what?",
  "answers": [{"text": "two", "answer_start": 4}],
  "is_impossible": False,
}
SQUAD = {
  "version": "2.0",
  "data": [
    {
      "title": "t",
      "paragraphs": [
        {"context": "one two", "qas": [QUESTION, {**QUESTION, "id": 7}]}
      ],
    }
  ],
}


def read_squad(path, is_training):
  return run_squad.read_squad_examples(path, is_training, True)


def check_answers(examples, tokenizer, is_training):
  """The windows of what was read can be made."""
  for example in examples:
    assert isinstance(example.qas_id, str) and example.question_text.strip()
    if is_training and not example.is_impossible:
      words = example.doc_tokens[
        example.start_position : example.end_position + 1
      ]
      answer = " ".join(example.orig_answer_text.split())
      assert answer in " ".join(words)
  run_squad.convert_examples_to_features(
    examples, tokenizer, 16, 4, 8, is_training, lambda window: None
  )


@few
@hypothesis.given(
  place=st.sampled_from(sorted(places(SQUAD), key=str)),
  value=VALUES | st.just(...),
  is_training=st.booleans(),
)
def test_squad_with_any_value_anywhere(
  folder, tokenizer, place, value, is_training
):
  data = json.dumps(replaced(SQUAD, place, value)).encode()
  examples = read(read_squad, folder / "a.json", data, is_training)
  check_answers(examples or [], tokenizer, is_training)


@few
@hypothesis.given(
  place=st.sampled_from(sorted(places(QUESTION), key=str)),
  value=VALUES | st.just(...),
  is_training=st.booleans(),
)
def test_questions_in_json_lines(folder, tokenizer, place, value, is_training):
  row = replaced(QUESTION, place, value)
  if isinstance(row, dict):
    row["context"] = "one two"
  data = json.dumps(row).encode()
  examples = read(read_squad, folder / "a.jsonl", data, is_training)
  check_answers(examples or [], tokenizer, is_training)
  if not examples:
    return
  answer = run_squad.Prediction(examples[0].qas_id, ANSWER, [ANSWER])
  path = str(folder / "c.jsonl")
  writing.write_lines(path, run_squad.prediction_lines(examples, [answer]))
  with open(path, encoding="utf-8") as reader:
    line = json.loads(reader.read())
  assert line["id"] == examples[0].qas_id
  assert line["question"] == examples[0].question_text


ANSWER = run_squad.find_answers(
  [run_squad.SquadExample("", "a", [])], [], [], 1, 1, True
)[0].answer


@few
@hypothesis.given(data=bytes_of(b'{"data": [', b"]", b"}", b"NaN", b"9" * 5000))
def test_any_bytes_as_squad(folder, data):
  for name in ("a.json", "a.jsonl"):
    assert not read(read_squad, folder / name, data, False)


# ------------------------------------------------------------------ ranker

CELLS = ("a", ",", "\t", "\n", '"', "\r\n", "context,response,label\n", "q,r,1")


@few
@hypothesis.given(
  data=bytes_of(*(cell.encode() for cell in CELLS)) | texts(*CELLS),
  name=st.sampled_from(["a.csv", "a.tsv"]),
)
def test_files_to_rank(folder, data, name):
  examples = read(ranking_data.read_examples, folder / name, data, "test")
  for example in examples or []:
    assert example.context.strip() and all(map(str.strip, example.responses))
    assert len(example.labels) in (0, len(example.responses))


@few
@hypothesis.given(
  rows=st.lists(
    st.lists(
      st.text(st.characters(exclude_categories=("Cs",))).filter(str.strip),
      min_size=2,
      max_size=4,
    ),
    min_size=2,
    max_size=4,
  )
)
def test_rows_that_were_written_are_read(folder, rows):
  # A third cell that is 0 or 1 looks like a label, which is an error.
  hypothesis.assume(
    not any(r[2:3] and r[2].strip() in ("0", "1") for r in rows)
  )
  path = folder / "b.csv"
  with open(path, "w", encoding="utf-8", newline="") as writer:
    csv.writer(writer).writerows([["?", "x", "y"], *rows])
  found = ranking_data.read_examples(str(path), "test")[1:]
  assert [[e.context, *e.responses] for e in found] == rows


@few
@hypothesis.given(
  labels=st.lists(
    st.lists(st.integers(0, 1), min_size=1, max_size=12),
    min_size=1,
    max_size=3,
  ),
  data=st.data(),
)
def test_trec_files_are_read_back(labels, data):
  """As trec_eval reads them: by score, on a tie the higher id first."""
  scores = [
    np.array(
      data.draw(
        st.lists(
          st.floats(-(2.0**99), 2.0**99, width=32),
          min_size=len(row),
          max_size=len(row),
        )
      ),
      np.float32,
    )
    for row in labels
  ]
  examples = [
    ranking_data.InputExample(f"test-{i}", "c", ["r"] * len(row), row, "a:1")
    for i, row in enumerate(labels)
  ]
  ranked = run_ranker.RankedExamples(examples, scores)
  relevant = {}
  for line in ranked.trec_qrels():
    query, _, document, label = line.split(" ")
    relevant[query, document] = int(label)
  assert len(relevant) == sum(map(len, labels))
  rows = [line.split(" ") for line in ranked.trec_run("mine")]
  order, found = {}, {}
  for query, q0, document, rank, score, tag in rows:
    assert (q0, tag) == ("Q0", "mine")
    order.setdefault(query, []).append((float(score), document))
    assert len(order[query]) == int(rank)
    found.setdefault(query, []).append(relevant[query, document])
  for query in order:
    assert order[query] == sorted(order[query], reverse=True)
  for i in range(len(labels)):
    read_back = [score for score, _ in order[f"test-{i}"]]
    assert np.float32(read_back).tolist() == sorted(
      scores[i].tolist(), reverse=True
    )
  if all(map(any, labels)):
    mrr = np.mean([1 / (1 + row.index(1)) for row in found.values()])
    expected = metrics.ranking_scores(labels, scores)["mrr"]
    assert mrr == pytest.approx(expected)
