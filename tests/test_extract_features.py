# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Texts to vectors: the encoder's golden layers, formats, and whole runs."""

import json
import os
import pathlib
import subprocess
import sys

import h5py
import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import extract_features
import modeling
import tokenization
from bert.training import estimators

ROOT = pathlib.Path(__file__).parent.parent
GOLDEN = ROOT / "tests" / "golden"
TINY = str(GOLDEN / "tiny_checkpoint" / "model.ckpt")
CONFIG_FILE = str(GOLDEN / "tiny_checkpoint" / "bert_config.json")
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
  assert features[0].is_cut
  assert features[1].tokens == ["[CLS]", "the", "cat", "[SEP]", "sat", "[SEP]"]
  assert features[1].input_type_ids == [0, 0, 0, 0, 1, 1]
  assert not features[1].is_cut
  assert features[2].input_ids == [2, 3, 0, 0, 0, 0]
  assert features[2].input_mask == [1, 1, 0, 0, 0, 0]


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
  """The golden batch, and as many names of tokens as each text has."""
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
  estimator = estimators.make_estimator(
    model_fn,
    train_batch_size=batch_size,
    predict_batch_size=batch_size,
    output_dir=str(tmp_path / "empty"),
  )
  return estimators.predict(estimator, input_fn, None)


def layout(**changes):
  options = dict(layers=[-1, 0], width=32, is_pooled=False, is_aligned=False)
  return extract_features.Layout(**{**options, "longest_token": 9, **changes})


def test_json_holds_the_golden_layers_to_six_digits(tmp_path):
  golden, features = golden_features()
  path = str(tmp_path / "out.json")
  input_fn = extract_features.input_fn_builder(features, 24)
  with extract_features.whole_output(path, "json", layout()) as writer:
    extract_features.write_in_order(
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
        np.testing.assert_allclose(layer["values"], wanted, atol=3e-6)


@pytest.mark.parametrize("pooling", extract_features.POOLINGS[1:])
def test_pooling_counts_real_tokens_only(pooling, tmp_path):
  golden, features = golden_features()
  rows = [extract_features._row(feature) for feature in features]
  schema = extract_features.schema(24)
  input_fn = extract_features.input_pipeline.stream_input_fn([rows], schema)
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
    np.testing.assert_allclose(found[row], wanted, atol=3e-6)


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
    atol=3e-6,
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
  with pytest.raises(ValueError, match="only prediction is possible"):
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


# ---------------------------------------------------------------- outputs


@pytest.mark.parametrize("scale", [1e-6, 0.5, 8.0, 300.0, 5e4])
def test_numbers_are_rounded_as_python_does(scale):
  rows = (np.random.randn(40, 25) * scale).astype(np.float32)
  rows[:, 0] = [0.0, 1.0] * 20
  found = extract_features.decimal_rows(rows)
  for text, row in zip(found, rows.tolist()):
    values = json.loads(b"[" + bytes(text))
    np.testing.assert_allclose(
      values, [round(v, 6) for v in row], rtol=1e-12, atol=1e-12
    )


def made_up():
  """Two texts, one vector of width 2 for each of two layers and token."""
  features = [
    extract_features.InputFeatures(
      i, tokens, [], [], [], spans=[None, (3, 5)], words=[None, 1]
    )
    for i, tokens in enumerate((["[CLS]", 'é"'], ["[CLS]", "b"]))
  ]
  values = np.arange(16, dtype=np.float32).reshape(2, 2, 2, 2) / 8
  return features, values


def write_made_up(path, output_format):
  """Writes them, in batches of one, the second text first."""
  features, values = made_up()
  batches = [
    {
      "example_index": np.array([i, -1]),
      "layer_output_0": np.pad(
        values[i : i + 1, :, 0], [(0, 1), (0, 3), (0, 0)]
      ),
      "layer_output_1": np.pad(
        values[i : i + 1, :, 1], [(0, 1), (0, 3), (0, 0)]
      ),
    }
    for i in (1, 0)
  ]
  form = layout(width=2, is_aligned=True)
  with extract_features.whole_output(path, output_format, form) as writer:
    extract_features.write_in_order(
      batches, dict(enumerate(features)), writer, path
    )
  return values


def test_json_has_spans_and_any_token(tmp_path):
  path = tmp_path / "out.json"
  write_made_up(str(path), "json")
  first = json.loads(path.read_text().splitlines()[0])
  assert first["features"][1] == {
    "token": 'é"',
    "layers": [
      {"index": -1, "values": [0.5, 0.625]},
      {"index": 0, "values": [0.75, 0.875]},
    ],
    "span": [3, 5],
    "word": 1,
  }


@pytest.mark.parametrize("output_format", ["npz", "hdf5"])
def test_arrays_are_read_back(output_format, tmp_path):
  path = str(tmp_path / f"out.{output_format}")
  values = write_made_up(path, output_format)
  if output_format == "npz":
    found, tokens = np.load(path), lambda column: column.tolist()
    layers = found["layers"]
  else:
    found, tokens = h5py.File(path), lambda column: column.asstr()[:].tolist()
    layers = found.attrs["layers"]
  assert layers.tolist() == [-1, 0]
  assert found["starts"][:].tolist() == [0, 2, 4]
  np.testing.assert_array_equal(found["values"][:], values.reshape(4, 2, 2))
  assert tokens(found["tokens"]) == ["[CLS]", 'é"', "[CLS]", "b"]
  assert found["spans"][:].tolist() == [[-1, -1], [3, 5]] * 2
  assert found["words"][:].tolist() == [-1, 1, -1, 1]


def test_records_are_read_back(tmp_path):
  path = str(tmp_path / "out.tfrecord")
  values = write_made_up(path, "tfrecord")
  records = list(tf.python_io.tf_record_iterator(path))
  assert len(records) == 2
  for place, record in enumerate(records):
    found = tf.train.Example.FromString(record).features.feature
    assert found["linex_index"].int64_list.value == [place]
    shape = found["shape"].int64_list.value
    read = np.reshape(found["values"].float_list.value, shape)
    np.testing.assert_array_equal(read, values[place])
    assert found["layers"].int64_list.value == [-1, 0]
    assert found["spans"].int64_list.value == [-1, -1, 3, 5]
  assert found["tokens"].bytes_list.value == [b"[CLS]", b"b"]


@pytest.mark.parametrize("output_format", extract_features.FORMATS)
def test_what_fails_leaves_the_old_file(output_format, tmp_path):
  path = tmp_path / "out"
  path.write_text("old")
  with pytest.raises(ValueError, match="no more"):
    with extract_features.whole_output(str(path), output_format, layout()):
      raise ValueError("no more")
  assert path.read_text() == "old"
  assert [p.name for p in tmp_path.iterdir()] == ["out"]


# ------------------------------------------------------------- whole runs


def command(tmp_path, *more):
  vocab = [*WORDS.split(), *(f"w{i}" for i in range(40))]
  return [
    *(sys.executable, str(ROOT / "extract_features.py")),
    f"--vocab_file={write(tmp_path, 'v.txt', chr(10).join(vocab))}",
    f"--bert_config_file={CONFIG_FILE}",
    f"--init_checkpoint={TINY}",
    "--max_seq_length=8",
    *more,
  ]


def test_a_run_keeps_the_order_and_counts_what_it_cut(tmp_path):
  texts = ["the cat sat on the mats .", "", "a cat ||| sat", "w1"] * 5
  path = write(tmp_path, "in.txt", "\n".join(texts))
  out = tmp_path / "out.json"
  done = subprocess.run(
    command(
      *(tmp_path, f"--input_file={path}", f"--output_file={out}"),
      *("--layers=-1,1", "--batch_size=3"),
    ),
    capture_output=True,
    text=True,
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
          layer["values"], same["values"], atol=3e-6, rtol=0
        )


def test_standard_input_is_answered_line_by_line(tmp_path):
  with subprocess.Popen(
    command(
      *(tmp_path, "--input_file=-", "--output_file=-", "--layers=-1"),
      *("--pooling=mean", "--precision=bfloat16"),
    ),
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


CHECKS = """
import sys
sys.path.insert(0, {root!r})
import extract_features
from absl import flags
from absl.testing import flagsaver
extract_features.define_flags()
flags.FLAGS([sys.argv[0], *{flags!r}])
for more in {cases!r}:
  with flagsaver.flagsaver():
    flags.FLAGS([sys.argv[0], *more])
    try:
      extract_features.prepare()
      print("nothing wrong")
    except ValueError as error:
      print(error)
"""


def test_flags_that_do_not_fit_are_said_in_one_sentence(tmp_path):
  path = write(tmp_path, "in.txt", "the cat\n")
  bad = write(tmp_path, "bad.txt", b"a\nb\xe9c\n")
  empty = write(tmp_path, "empty.txt", "")
  pipe = str(tmp_path / "pipe")
  os.mkfifo(pipe)
  cases = (
    ([], "nothing wrong"),
    (["--layers=-1,-4"], "there is no layer '-4'"),
    (["--layers=first"], "which has 3: give 0 to 2 from below, or -1 to -3"),
    (["--layers=-1", "--pooling=pooled"], "the pooler has the vector of no"),
    (["--align_to_words", "--pooling=cls"], "--align_to_words is for"),
    (["--output_file=-", "--output_format=npz"], "--output_file=- is for JSON"),
    (["--output_file=no/where"], "its folder is missing"),
    ([f"--output_file={pipe}"], "this is no plain file, and would be replaced"),
    ([f"--output_file={tmp_path}/./in.txt"], "would replace --input_file"),
    ([f"--input_file={bad}"], "bad.txt is not utf-8: byte 3 is 0xe9"),
    ([f"--input_file={empty}"], "empty.txt is empty"),
    (["--input_file=no.txt"], "cannot read no.txt"),
    ([f"--input_file={tmp_path}"], f"cannot read {tmp_path}"),
    (["--max_seq_length=99"], "max_position_embeddings"),
    (["--init_checkpoint=no.ckpt"], "no checkpoint no.ckpt"),
    (["--use_tpu"], "--use_tpu needs --tpu_name"),
    (["--use_tpu", "--tpu_name=a"], "which a TPU can't read"),
  )
  more = f"--input_file={path}", f"--output_file={tmp_path / 'out'}"
  script = write(
    tmp_path,
    "checks.py",
    CHECKS.format(
      root=str(ROOT),
      flags=[*command(tmp_path, *more)[2:], "--layers=-1"],
      cases=[flags for flags, _ in cases],
    ),
  )
  done = subprocess.run(
    [sys.executable, script], capture_output=True, text=True, cwd=tmp_path
  )
  assert done.returncode == 0, done.stderr
  found = done.stdout.splitlines()
  assert len(found) == len(cases)
  for line, (flags, message) in zip(found, cases):
    assert message in line, flags


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
