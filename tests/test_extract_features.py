# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Texts to vectors: the encoder's golden layers, and whole runs."""

import json
import os
import pathlib
import subprocess
import sys

import helpers
import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from helpers import GOLDEN

import extract_features
import modeling
import tokenization
from bert.records import streams, vectors
from bert.training import estimators, flags

TINY = str(GOLDEN / "tiny_checkpoint" / "model.ckpt")
CONFIG_FILE = str(GOLDEN / "tiny_checkpoint" / "bert_config.json")
# The golden values are float32, computed in another order: about 20 times the
# distance of neighbouring numbers near 2.
ROUNDING = 5e-6
WORDS = "[PAD] [UNK] [CLS] [SEP] [MASK] the cat sat on a mat ##s . play ##ing"


def write(folder, name, text):
  path = folder / name
  path.write_bytes(text if isinstance(text, bytes) else text.encode())
  return str(path)


@pytest.fixture
def tokenizer(tmp_path):
  vocab = write(tmp_path, "vocab.txt", "\n".join(WORDS.split()) + "\n")
  return tokenization.FullTokenizer(vocab)


# --------------------------------------------------------------- examples


def test_a_line_is_a_text_or_a_pair_and_a_blank_one_counts(tmp_path):
  path = write(
    tmp_path, "in.txt", " A one. \r\n\na ||| b ||| c\n||| b\na|||b\n"
  )
  found = extract_features.read_examples(path)
  assert [(e.unique_id, e.text_a, e.text_b) for e in found] == [
    (0, "A one.", None),
    (1, "", None),
    (2, "a ||| b", "c"),
    (3, "||| b", None),
    (4, "a|||b", None),
  ]


# --------------------------------------------------------------- features


def test_texts_are_cut_and_padded(tokenizer):
  examples = [
    extract_features.InputExample(7, "The cats sat.", None),
    extract_features.InputExample(8, "The cat", "sat"),
    extract_features.InputExample(9, "", None),
  ]
  features = extract_features.convert_examples_to_features(
    examples, 6, tokenizer
  )
  assert [f.unique_id for f in features] == [7, 8, 9]
  assert features[0].tokens == ["[CLS]", "the", "cat", "##s", "sat", "[SEP]"]
  assert features[0].is_long
  assert features[1].tokens == ["[CLS]", "the", "cat", "[SEP]", "sat", "[SEP]"]
  assert features[1].input_type_ids == [0, 0, 0, 0, 1, 1]
  assert not features[1].is_long
  assert features[2].input_ids == [2, 3, 0, 0, 0, 0]
  assert features[2].input_mask == [1, 1, 0, 0, 0, 0]


def test_a_pair_is_cut_in_place():
  a, b = ["one", "two", "three"], ["four", "five", "six"]
  extract_features._truncate_seq_pair(a, b, 4)
  assert (a, b) == (["one", "two"], ["four", "five"])


def test_tokens_are_aligned_with_their_line(tokenizer, tmp_path):
  line = "  The cats playing, ||| ON mats. "
  path = write(tmp_path, "in.txt", line)
  (example,) = extract_features.read_examples(path)
  feature = extract_features.convert_examples_to_features(
    [example], 20, tokenizer, align=True
  )[0]
  found = [
    (token, span and line[slice(*span)], word)
    for token, span, word in zip(feature.tokens, feature.spans, feature.words)
  ]
  assert found == [
    ("[CLS]", None, None),
    ("the", "The", 0),
    ("cat", "cat", 1),
    ("##s", "s", 1),
    ("play", "play", 2),
    ("##ing", "ing", 2),
    ("[UNK]", ",", 2),
    ("[SEP]", None, None),
    ("on", "ON", 3),
    ("mat", "mat", 4),
    ("##s", "s", 4),
    (".", ".", 4),
    ("[SEP]", None, None),
  ]
  cut = extract_features.convert_examples_to_features(
    [example], 8, tokenizer, align=True
  )[0]
  assert cut.tokens == [
    "[CLS]",
    "the",
    "cat",
    "##s",
    "[SEP]",
    "on",
    "mat",
    "[SEP]",
  ]
  assert cut.words == [None, 0, 1, 1, None, 3, 4, None]


# ------------------------------------------------------------------ model


def golden_features():
  """The golden batch as features; each token is called t."""
  golden = np.load(GOLDEN / "modeling.npz")
  inputs = [golden[f"in/{n}"].tolist() for n in ("input_ids", "input_mask")]
  segments = golden["in/segment_ids"].tolist()
  features = [
    extract_features.InputFeatures(i, ["t"] * sum(mask), ids, mask, types)
    for i, (ids, mask, types) in enumerate(zip(*inputs, segments))
  ]
  return golden, features


def predict(input_fn, tmp_path, batch_size=3, checkpoint=TINY, **options):
  config = modeling.BertConfig.from_json_file(CONFIG_FILE)
  model_fn = extract_features.model_fn_builder(
    config, checkpoint, [-1, 0], False, False, **options
  )
  estimator = estimators.estimator_for(
    flags.DeviceOptions(), model_fn, batch_size, str(tmp_path / "empty")
  )
  return estimators.predict(estimator, input_fn, None)


def test_json_holds_the_golden_layers_to_six_digits(tmp_path):
  golden, features = golden_features()
  path = str(tmp_path / "out.json")
  input_fn = extract_features.input_fn_builder(features, 24)
  layout = vectors.Layout([-1, 0], 32, False, False, longest_token=9)
  with vectors.whole_output(path, "json", layout) as writer:
    vectors.write_in_order(
      predict(input_fn, tmp_path), dict(enumerate(features)), writer, path
    )
    assert not pathlib.Path(path).exists()
  lines = pathlib.Path(path).read_text().splitlines()
  assert len(lines) == 4
  for row, line in enumerate(map(json.loads, lines)):
    assert list(line) == ["linex_index", "features"]
    assert line["linex_index"] == row
    assert len(line["features"]) == golden["in/input_mask"][row].sum()
    for place, token in enumerate(line["features"]):
      assert list(token) == ["token", "layers"]
      assert [layer["index"] for layer in token["layers"]] == [-1, 0]
      for layer, name in zip(token["layers"], (2, 0)):
        wanted = golden[f"out/encoder_layer_{name}"][row, place]
        np.testing.assert_allclose(layer["values"], wanted, atol=ROUNDING)


@pytest.mark.parametrize("pooling", extract_features.POOLINGS[1:])
def test_pooling_counts_real_tokens_only(pooling, tmp_path):
  golden, features = golden_features()
  rows = [extract_features._row(feature) for feature in features]
  schema = extract_features.schema(24)
  input_fn = streams.stream_input_fn([rows], schema)
  found = {}
  for batch in predict(input_fn, tmp_path, pooling=pooling):
    found.update(zip(batch["example_index"], batch["layer_output_0"]))
  for row, feature in enumerate(features):
    tokens = golden["out/encoder_layer_2"][row, : len(feature.tokens)]
    wanted = {
      "cls": tokens[0],
      "mean": tokens.mean(axis=0),
      "max": tokens.max(axis=0),
      "pooled": golden["out/pooled_output"][row],
    }[pooling]
    np.testing.assert_allclose(found[row], wanted, atol=ROUNDING)


def test_only_the_poolers_vector_needs_a_pooler(tmp_path):
  reader = tf.train.load_checkpoint(TINY)
  with tf.Graph().as_default(), tf.Session() as session:
    kept = [
      tf.get_variable(name, initializer=reader.get_tensor(name))
      for name in reader.get_variable_to_shape_map()
      if "pooler" not in name
    ]
    session.run(tf.global_variables_initializer())
    prefix = tf.train.Saver(kept).save(session, str(tmp_path / "a.ckpt"))
  golden, features = golden_features()
  input_fn = extract_features.input_fn_builder(features, 24)
  (batch,) = predict(
    input_fn, tmp_path, batch_size=4, checkpoint=prefix, pooling="cls"
  )
  np.testing.assert_allclose(
    batch["layer_output_0"],
    golden["out/encoder_layer_2"][:, 0],
    atol=ROUNDING,
  )
  with pytest.raises(ValueError, match="lacks bert/pooler/dense/"):
    next(predict(input_fn, tmp_path, checkpoint=prefix, pooling="pooled"))


def encoder_inputs():
  """A batch of the encoder's inputs, of static shape."""
  return {
    name: tf.ones([2, *spec.shape], tf.int32)
    for name, spec in extract_features.schema(8).items()
  }


def test_training_is_refused():
  config = modeling.BertConfig.from_json_file(CONFIG_FILE)
  model_fn = extract_features.model_fn_builder(config, TINY, [0], False, False)
  with pytest.raises(ValueError, match="can only predict, not train"):
    model_fn(encoder_inputs(), None, tf.estimator.ModeKeys.TRAIN, {})


@pytest.mark.parametrize("pooling", ["none", "max"])
def test_a_tpu_is_given_static_shapes_that_xla_compiles(pooling):
  config = modeling.BertConfig.from_json_file(CONFIG_FILE)
  model_fn = extract_features.model_fn_builder(
    config, TINY, [-1, 0], True, True, pooling
  )

  def step():
    spec = model_fn(encoder_inputs(), None, tf.estimator.ModeKeys.PREDICT, {})
    assert spec.scaffold_fn
    outputs = spec.predictions["layer_output_1"]
    assert outputs.shape == ([2, 32] if pooling == "max" else [2, 8, 32])
    return [outputs]

  outputs = tf.xla.experimental.compile(step)
  graph = tf.get_default_graph()
  for op in graph.get_operations():
    if op.type in ("MatMul", "BatchMatMulV2"):
      assert op.outputs[0].shape.is_fully_defined(), op.name
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    assert np.isfinite(session.run(outputs)).all()


def test_a_checkpoint_that_matches_nothing_is_refused(tmp_path):
  tf.get_variable("a", initializer=[0.0])
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    prefix = tf.train.Saver().save(session, str(tmp_path / "a.ckpt"))
  tf.reset_default_graph()
  config = modeling.BertConfig.from_json_file(CONFIG_FILE)
  model_fn = extract_features.model_fn_builder(
    config, prefix, [0], False, False
  )
  with pytest.raises(ValueError, match="has none of the model's variables"):
    model_fn(encoder_inputs(), None, tf.estimator.ModeKeys.PREDICT, {})


# ------------------------------------------------------------- whole runs


def arguments(tmp_path, *more):
  """The command line of a small run; a flag given again wins."""
  vocab = [*WORDS.split(), *(f"w{i}" for i in range(40))]
  return [
    f"--vocab_file={write(tmp_path, 'v.txt', chr(10).join(vocab))}",
    f"--bert_config_file={CONFIG_FILE}",
    f"--init_checkpoint={TINY}",
    "--max_seq_length=8",
    *more,
  ]


def run(tmp_path, *more, **options):
  return helpers.run(extract_features, *arguments(tmp_path, *more), **options)


def test_a_run_keeps_the_order_and_counts_what_it_cut(tmp_path):
  texts = ["the cat sat on the mats .", "", "a cat ||| sat", "w1"] * 5
  path = write(tmp_path, "in.txt", "\n".join(texts))
  out = tmp_path / "out.json"
  done = run(
    *(tmp_path, f"--input_file={path}", f"--output_file={out}"),
    *("--layers=-1,1", "--batch_size=3"),
  )
  assert done.returncode == 0, done.stderr
  assert (
    f"wrote {out}: 20 texts, 95 tokens; 5 texts were longer than"
    " --max_seq_length=8 and were cut"
  ) in done.stderr
  assert "predicted 20 examples" in done.stderr
  lines = [json.loads(line) for line in out.read_text().splitlines()]
  assert [line["linex_index"] for line in lines] == list(range(20))
  tokens = [[t["token"] for t in line["features"]] for line in lines[:4]]
  assert tokens == [
    ["[CLS]", "the", "cat", "sat", "on", "the", "mat", "[SEP]"],
    ["[CLS]", "[SEP]"],
    ["[CLS]", "a", "cat", "[SEP]", "sat", "[SEP]"],
    ["[CLS]", "w1", "[SEP]"],
  ]
  for line in lines[4:]:  # the same text, in another batch
    twin = lines[line["linex_index"] % 4]["features"]
    for token, other in zip(line["features"], twin):
      for layer, same in zip(token["layers"], other["layers"]):
        np.testing.assert_allclose(
          layer["values"], same["values"], atol=ROUNDING, rtol=0
        )


@pytest.mark.slow
def test_standard_input_is_answered_line_by_line(tmp_path):
  command = [
    *(sys.executable, str(helpers.ROOT / "extract_features.py")),
    *arguments(tmp_path, "--input_file=-", "--output_file=-", "--layers=-1"),
    *("--pooling=mean", "--precision=bfloat16"),
  ]
  with subprocess.Popen(
    command,
    stdin=subprocess.PIPE,
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
  ) as running:
    answers = []
    for line in (b"the cat\n", b"a mat\n", b"the cat\n"):
      running.stdin.write(line)
      running.stdin.flush()
      answers.append(json.loads(running.stdout.readline()))
    assert [list(answer) for answer in answers] == [
      ["linex_index", "layers"]
    ] * 3
    values = [answer["layers"][0]["values"] for answer in answers]
    assert [len(vector) for vector in values] == [32] * 3
    assert values[0] == values[2] != values[1]
    running.stdin.write(b"\xff\n")
    running.stdin.close()
    message = running.stderr.read().decode().splitlines()[-1]
    assert message == (
      "error: standard input is not utf-8: byte 22 is 0xff; save the file as"
      " utf-8"
    )
  assert running.returncode == 1


def test_a_run_writes_arrays_with_aligned_tokens(tmp_path):
  path = write(tmp_path, "in.txt", "the cats\na mat\n")
  out = tmp_path / "out"
  done = run(
    *(tmp_path, f"--input_file={path}", f"--output_file={out}"),
    *("--layers=0", "--align_to_words", "--output_format=npz"),
  )
  assert done.returncode == 0, done.stderr
  assert np.load(out)["words"].tolist() == [-1, 0, 1, 1, -1, -1, 0, 1, -1]
  assert "2 texts, 9 tokens; 0 texts were longer" in done.stderr


@pytest.mark.parametrize(
  ("arguments", "message"),
  [
    (["--layers=-1,-4"], "there is no layer '-4'"),
    (["--layers=first"], "which has 3: give 0 to 2 from below, or -1 to -3"),
    (["--layers="], "--layers is empty: give numbers"),
    (["--pooling=pooled"], "which belongs to no layer: leave out --layers"),
    (
      ["--align_to_words", "--pooling=cls"],
      "--align_to_words needs one vector",
    ),
    (["--output_file=-", "--output_format=npz"], "--output_file=- is for JSON"),
    (["--output_file=no/where"], "its folder is missing"),
    (["--output_file=gs://a/b", "--output_format=hdf5"], "name a local file"),
    (["--output_file=pipe"], "this is not a plain file, and would be replaced"),
    (["--output_file=./in.txt"], "would replace --input_file"),
    (["--input_file=bad.txt"], "bad.txt is not utf-8: byte 3 is 0xe9"),
    (["--input_file=empty.txt"], "empty.txt is empty: give one text per line"),
    (["--input_file=no.txt"], "there is no file no.txt"),
    (["--input_file=."], ". is a folder"),
    (["--max_seq_length=99"], "max_position_embeddings"),
    (["--init_checkpoint=no.ckpt"], "no checkpoint no.ckpt"),
    (["--use_tpu"], "--use_tpu needs --tpu_name"),
    (["--use_tpu", "--tpu_name=a"], "which a TPU can't read"),
    (["--output_format=csv"], "output_format"),
    (["true"], "stray words on the command line: true"),
  ],
)
def test_wrong_flags_get_one_clear_sentence(
  tmp_path, monkeypatch, arguments, message
):
  monkeypatch.chdir(tmp_path)
  write(tmp_path, "in.txt", "the cat\n")
  write(tmp_path, "bad.txt", b"a\nb\xe9c\n")
  write(tmp_path, "empty.txt", "")
  os.mkfifo(tmp_path / "pipe")
  given = ["--input_file=in.txt", "--output_file=out", "--layers=-1"]
  done = run(tmp_path, *given, *arguments)
  assert done.returncode == 1
  assert message in done.stderr
  assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
  "name", ["input_file", "output_file", "vocab_file", "init_checkpoint"]
)
def test_required_flags_are_named(tmp_path, name):
  given = arguments(tmp_path, "--input_file=a", "--output_file=b")
  given = [flag for flag in given if not flag.startswith(f"--{name}=")]
  done = helpers.run(extract_features, *given)
  assert done.returncode == 1
  assert f"error: give --{name} (--help" in done.stderr
