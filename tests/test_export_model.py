# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Exports: strings to ids as the tokenizer has them, signatures, assets."""

import importlib.util
import json
import pathlib
import random
import subprocess
import sys

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from helpers import run

import export_model
import tokenization
from bert.records import packing, text_graph
from bert.training import trained_model
from bert.training.export_formats import Plan

ROOT = pathlib.Path(__file__).parent.parent
needs_text = pytest.mark.skipif(
  importlib.util.find_spec("tensorflow_text") is None,
  reason="needs tensorflow-text (requirements-text.txt)",
)


def evaluate(tensors, feeds):
  with tf.Session() as session:
    session.run(tf.tables_initializer())
    return session.run(tensors, feeds)


@pytest.fixture
def model(classifier):
  return trained_model.find_model(str(classifier()))


def load(folder, session):
  """The signatures of an export, in a graph of their own."""
  return tf.saved_model.load(session, ["serve"], folder).signature_def


def compare(made, model, predictor, rows):
  return export_model.compare(made, "saved_model", model, predictor, rows)


def call(session, signature, **feed):
  return session.run(
    {name: info.name for name, info in signature.outputs.items()},
    {signature.inputs[name].name: value for name, value in feed.items()},
  )


# -------------------------------------------------- from strings to ids


@needs_text
@pytest.mark.parametrize("do_lower_case", [True, False])
def test_the_graph_has_the_tokenizers_ids(do_lower_case, tmp_path):
  words = (
    "[UNK] [CLS] [SEP] caf cafe CAFE ##e é a ##b ##c σας ß İ 東 , $ don ' t"
  )
  vocab = tmp_path / "vocab.txt"
  # A token that comes twice has its last id, and white space is no part of it.
  vocab.write_text("\n".join([*words.split(), "a ", "\u200d", ""]))
  tokenizer = tokenization.FullTokenizer(str(vocab), do_lower_case)
  texts = [
    "Café, CAFE cafe\u0301 don't $a",
    "ab\u00adc abcb abx",
    "",
    " \t\r\n ",
    "東京東",
    "ΣΑΣ σας ß İ",
    "a\x1cb a\u2028b a\u0085c a\0b a\ufffdb",
    "a" * 200,
    "a" + "b" * 199,
    "a" + "b" * 200,
    "e\u0301\u0327",
    "a\u3000b\u00a0c",
  ]
  fed = tf.placeholder(tf.string, [None])
  ids = text_graph.token_ids(fed, tokenizer)
  found = evaluate(ids, {fed: [text.encode() for text in texts]}).to_list()
  for text, row in zip(texts, found):
    assert tokenizer.convert_ids_to_tokens(row) == tokenizer.tokenize(text)
  broken = b"a\xffb caf\xc3"
  (row,) = evaluate(ids, {fed: [broken]}).to_list()
  assert tokenizer.convert_ids_to_tokens(row) == tokenizer.tokenize(broken)


def test_rows_are_packed_as_records_are(model):
  rng = random.Random(1)
  vocab, words = model.tokenizer.vocab, ["good", "bad", "day", "one", "!"]
  pairs = [
    [[rng.choice(words) for _ in range(rng.randint(0, 14))] for _ in "ab"]
    for _ in range(60)
  ]
  has_b = [rng.random() < 0.7 for _ in pairs]
  ids_a, ids_b = (
    tf.ragged.constant(
      [
        [vocab[w] for w in pair[side]] if side == 0 or has else []
        for pair, has in zip(pairs, has_b)
      ],
      tf.int64,
    )
    for side in (0, 1)
  )
  found = evaluate(
    text_graph.packed(ids_a, ids_b, tf.constant(has_b), 12, vocab), {}
  )
  for i, ((a, b), has) in enumerate(zip(pairs, has_b)):
    wanted = packing.pack(a, b if has else None, 12, model.tokenizer)
    for name, rows in found.items():
      assert rows[i].tolist() == getattr(wanted, name), (name, a, b, has)
  alone = text_graph.packed(ids_a[:1, :2], ids_b[:1, :0], [False], 12, vocab)
  assert evaluate(alone, {})["input_ids"].shape == (1, 4)


@needs_text
def test_a_vocabulary_that_cannot_be_reproduced_is_refused(model, monkeypatch):
  pieces = model.tokenizer.wordpiece_tokenizer
  monkeypatch.setattr(pieces, "split_word", lambda word: ["[UNK]"])
  with pytest.raises(ValueError, match="can't reproduce this vocabulary: of"):
    text_graph.check_tokenizer(model.tokenizer, ["ab"])


# ----------------------------------------------------------------- exports


@needs_text
def test_strings_and_ids_have_the_checkpoints_answers(classifier, tmp_path):
  folder = classifier(
    label_type="multi",
    labels=["a", "b", "c"],
    thresholds=[0.0, 0.5, 1.0],
    feature_columns=["size"],
    feature_mean=[10.0],
    feature_std=[4.0],
  )
  model = trained_model.find_model(str(folder))
  made = export_model.export(model, str(tmp_path / "out"), Plan(with_text=True))
  assert made == str(tmp_path / "out" / "1")
  assets = pathlib.Path(made, "assets")
  assert (assets / "vocab.txt").read_text() == (
    folder / "vocab.txt"
  ).read_text()
  assert json.loads((assets / "task.json").read_text()) == json.loads(
    (folder / "task.json").read_text()
  )
  assert (assets / "labels.txt").read_text() == "a\nb\nc\n"

  rows = [
    {"text_a": "Good day!", "size": 3},
    {"text_a": "bad " * 30, "text_b": "the Café", "size": 30},
  ]
  predictor = trained_model.Predictor(model)
  windows = [predictor.prepare(row)[0][0] for row in rows]
  wanted = [output["probabilities"] for output in predictor.run(windows)]
  with tf.Graph().as_default(), tf.Session() as session:
    signatures = load(made, session)
    assert set(signatures) == {"ids", "serving_default", "text", "text_pair"}
    size = [[3.0], [30.0]]
    texts = [row["text_a"] for row in rows]
    pair = call(
      session,
      signatures["text_pair"],
      text_a=texts,
      text_b=["", "the Café"],
      features=size,
    )
    alone = call(
      session, signatures["text"], text_a=texts[:1], features=size[:1]
    )
    ids = call(session, signatures["ids"], **trained_model.padded(windows))
    names = {v.op.name for v in tf.global_variables()}
  np.testing.assert_allclose(pair["probabilities"], wanted, rtol=1e-5)
  np.testing.assert_allclose(ids["probabilities"], wanted, rtol=1e-5)
  np.testing.assert_allclose(alone["probabilities"], wanted[:1], rtol=1e-5)
  assert pair["labels"].tolist() == [[b"a", b"b", b"c"]] * 2
  assert pair["is_given"][:, [0, 2]].tolist() == [[True, False]] * 2
  assert not [name for name in names if "adam" in name]
  stored = dict(tf.train.list_variables(made + "/variables/variables"))
  assert set(stored) == names and stored["output_weights"] == [3, 9]


def test_another_process_runs_an_export_without_this_project(model, tmp_path):
  made = export_model.export(model, str(tmp_path / "out"), Plan())
  graph = tf.Graph()
  with graph.as_default(), tf.Session() as session:
    load(made, session)
  functions = graph.as_graph_def().library.function
  assert not [f for f in functions if "_XlaMustCompile" in f.attr]
  program = f"""
import tensorflow as tf
model = tf.saved_model.load({made!r})
ids = tf.constant([[2, 5, 3]])
found = model.signatures["serving_default"](
  input_ids=ids, input_mask=tf.ones_like(ids), segment_ids=tf.zeros_like(ids))
print(found["label"].numpy()[0].decode(), found["probabilities"].numpy()[0, 1])
"""
  done = subprocess.run(
    [sys.executable, "-c", program],
    capture_output=True,
    text=True,
    cwd=tmp_path,
  )
  assert done.returncode == 0, done.stderr
  predictor = trained_model.Predictor(model)
  windows, _ = predictor.prepare({"text": "good"})
  (output,) = predictor.run(windows)
  label, probability = done.stdout.split()
  assert label == output["label"].decode()
  assert float(probability) == pytest.approx(output["probabilities"][1], 1e-4)


def test_spans_and_versions_and_bfloat16(squad_model, tmp_path):
  model = trained_model.find_model(str(squad_model()))
  predictor = trained_model.Predictor(model)
  row = {"question": "one?", "context": "a good day, the bad day."}
  for version, precision in ((1, "float32"), (2, "bfloat16")):
    plan = Plan(precision=precision)
    made = export_model.export(model, str(tmp_path / "out"), plan)
    assert made.endswith(f"/{version}")
    rows = [row] * 40  # more windows than are run at once
    (found,) = compare(made, model, predictor, rows).values()
    assert found.difference < (1e-5 if version == 1 else 0.1)
    assert found.decisions == 40 and (version == 2 or found.same == 40)
  assert found.difference > 1e-5  # it is bfloat16
  shapes = tf.train.load_checkpoint(made + "/variables/variables")
  types = shapes.get_variable_to_dtype_map()
  kernel = "bert/encoder/layer_0/attention/self/query/kernel"
  assert types[kernel] == tf.bfloat16
  assert types["bert/embeddings/word_embeddings"] == tf.float32
  with tf.Graph().as_default(), tf.Session() as session:
    windows, _ = predictor.prepare(row)
    feed = trained_model.padded(windows)
    found = call(session, load(made, session)["ids"], **feed)
  for i in range(len(windows)):
    start, end = found["start"][i], found["end"][i]
    inside = feed["segment_ids"][i]
    assert inside[start] and inside[end + 1]  # behind it is [SEP] at least
    assert 0 <= end - start < 4
    score = found["start_logits"][i, start] + found["end_logits"][i, end]
    assert found["score"][i] == pytest.approx(score, rel=1e-4)


def test_a_difference_is_told_by_the_size_of_its_row():
  def difference(found, wanted):
    rows = [{"a": np.array(x), "tag": np.array([b"O"])} for x in found]
    return export_model._largest_difference(
      rows, [{"a": np.array(x), "tag": np.array([b"B"])} for x in wanted]
    )

  assert difference([[0.5, 0.25]], [[0.5, 0.5]]) == 0.25
  assert difference([[3.0], [1e6]], [[3.0], [1e6 + 10]]) < 1.1e-5
  assert difference([[1.0, 9.0]], [[1.0]]) == 0.0  # 9 is padding's
  assert np.isnan(difference([[np.nan], [1.0]], [[1.0], [1.0]]))


@needs_text
def test_each_signature_that_takes_the_rows_is_compared(classifier, tmp_path):
  model = trained_model.find_model(str(classifier()))
  predictor = trained_model.Predictor(model)
  made = export_model.export(model, str(tmp_path / "out"), Plan(with_text=True))
  texts = [{"text": "good"}, {"text": "a café day!"}]
  pairs = [*texts, {"text": "good", "text_b": "bad"}]
  for rows, names in (
    (texts, {"ids", "text", "text_pair"}),
    (pairs, {"ids", "text_pair"}),
  ):
    found = compare(made, model, predictor, rows)
    assert set(found) == names
    assert max(each.difference for each in found.values()) < 1e-5


def test_rows_to_check_with_are_those_that_the_model_takes(
  classifier, tmp_path
):
  predictor = trained_model.Predictor(
    trained_model.find_model(str(classifier()))
  )
  path = tmp_path / "rows.jsonl"
  for text, message in (
    ("", "rows.jsonl holds no text to check with"),
    ('{"text": "a"}\n\n{"txt": "b"}\n', "rows.jsonl:3: no key 'text_a', only"),
    ('{"text": 1}', "rows.jsonl:1: 'text' has to be a text, not 1"),
  ):
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
      export_model.check_rows(predictor, str(path))
  path.write_text('{"text": "a"}\n')
  assert export_model.check_rows(predictor, str(path)) == [{"text": "a"}]
  assert len(export_model.check_rows(predictor, None)) > 2


def test_an_export_that_fails_its_check_does_not_appear(model, tmp_path):
  def check(folder):
    raise ValueError(folder)

  with pytest.raises(ValueError, match=r"1\.partial"):
    export_model.export(model, str(tmp_path / "out"), Plan(), check)
  assert list((tmp_path / "out").iterdir()) == []


# -------------------------------------------------------------------- main


def test_flags_that_do_not_fit(squad_model, tmp_path):
  folders = [f"--model_dir={squad_model()}", f"--export_dir={tmp_path}/out"]
  done = run(export_model, *folders, "--signatures=text")
  assert done.returncode == 1
  assert done.stderr.startswith("error: --signatures=text: a squad model takes")
  done = run(export_model, *folders, "--check_file=rows.jsonl")
  assert done.stderr == "error: --check_file=rows.jsonl needs --check\n"
  assert not (tmp_path / "out").exists()


def test_a_whole_run_checks_what_it_exports(classifier, tmp_path):
  folder = classifier()
  rows = tmp_path / "rows.jsonl"
  rows.write_text('{"text_a": "good"}\n{"text_a": "a Café day!"}\n')
  done = run(
    export_model,
    f"--model_dir={folder}",
    f"--export_dir={tmp_path}/out",
    *("--check", f"--check_file={rows}"),
  )
  assert done.returncode == 0, done.stderr
  assert "check: 2 examples through signature ids" in done.stderr
  assert f"exported {folder}/model.ckpt-3 to {tmp_path}/out/1" in done.stderr
  assert sorted(p.name for p in (tmp_path / "out" / "1").iterdir()) == [
    *("assets", "saved_model.pb", "variables")
  ]


def test_ctrl_c_and_killed_runs_leave_no_part(
  tmp_path, classifier, monkeypatch
):
  def stop(*_):
    raise KeyboardInterrupt

  folder = tmp_path / "out"
  (folder / "1.partial").mkdir(parents=True)
  (folder / "1.partial" / "old").write_text("")
  flags = (f"--model_dir={classifier()}", f"--export_dir={folder}")
  with monkeypatch.context() as patch:
    patch.setattr(tf.saved_model.Builder, "save", stop)
    done = run(export_model, *flags, "--signatures=ids")
  assert done.returncode == 130 and done.stderr.endswith("interrupted\n")
  assert not list(folder.iterdir())
  (folder / "1.partial").mkdir()
  (folder / "1.partial" / "old").write_text("")
  assert not run(export_model, *flags, "--signatures=ids").returncode
  assert [path.name for path in folder.iterdir()] == ["1"]
  assert not (folder / "1" / "old").exists()
