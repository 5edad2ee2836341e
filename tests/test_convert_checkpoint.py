# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""From PyTorch's checkpoints to TensorFlow's and back.

The PyTorch models are made here by hand. If PyTorch and transformers are
installed, one of their models must compute the same as ours.
"""

import errno
import json
import os
import shutil
import struct

import helpers
import numpy as np
import pytest
import safetensors.numpy
import tensorflow.compat.v1 as tf

import convert_checkpoint
import modeling
from bert.files import locks

GOLDEN = str(helpers.GOLDEN / "tiny_checkpoint")
CONFIG = {
  "architectures": ["BertForPreTraining"],
  "model_type": "bert",
  "vocab_size": 11,
  "hidden_size": 4,
  "num_hidden_layers": 2,
  "num_attention_heads": 2,
  "intermediate_size": 6,
  "hidden_act": "gelu",
  "hidden_dropout_prob": 0.1,
  "attention_probs_dropout_prob": 0.1,
  "max_position_embeddings": 5,
  "type_vocab_size": 2,
  "initializer_range": 0.02,
  "layer_norm_eps": 1e-12,
  "transformers_version": "4.0.0",
}
LAYER = {  # PyTorch's names and shapes, [out, in]
  "attention.self.query.weight": (4, 4),
  "attention.self.query.bias": (4,),
  "attention.self.key.weight": (4, 4),
  "attention.self.key.bias": (4,),
  "attention.self.value.weight": (4, 4),
  "attention.self.value.bias": (4,),
  "attention.output.dense.weight": (4, 4),
  "attention.output.dense.bias": (4,),
  "attention.output.LayerNorm.weight": (4,),
  "attention.output.LayerNorm.bias": (4,),
  "intermediate.dense.weight": (6, 4),
  "intermediate.dense.bias": (6,),
  "output.dense.weight": (4, 6),
  "output.dense.bias": (4,),
  "output.LayerNorm.weight": (4,),
  "output.LayerNorm.bias": (4,),
}
MODEL = {
  "bert.embeddings.word_embeddings.weight": (11, 4),
  "bert.embeddings.position_embeddings.weight": (5, 4),
  "bert.embeddings.token_type_embeddings.weight": (2, 4),
  "bert.embeddings.LayerNorm.weight": (4,),
  "bert.embeddings.LayerNorm.bias": (4,),
  **{f"bert.encoder.layer.0.{name}": shape for name, shape in LAYER.items()},
  **{f"bert.encoder.layer.1.{name}": shape for name, shape in LAYER.items()},
  "bert.pooler.dense.weight": (4, 4),
  "bert.pooler.dense.bias": (4,),
}
HEADS = {
  "cls.predictions.transform.dense.weight": (4, 4),
  "cls.predictions.transform.dense.bias": (4,),
  "cls.predictions.transform.LayerNorm.weight": (4,),
  "cls.predictions.transform.LayerNorm.bias": (4,),
  "cls.predictions.bias": (11,),
  "cls.seq_relationship.weight": (2, 4),
  "cls.seq_relationship.bias": (2,),
  "classifier.weight": (3, 4),
  "classifier.bias": (3,),
  "qa_outputs.weight": (2, 4),
  "qa_outputs.bias": (2,),
}
WORDS = "bert.embeddings.word_embeddings.weight"


def random_weights(shapes):
  return {
    name: np.random.normal(size=shape).astype(np.float32)
    for name, shape in shapes.items()
  }


def write_model(folder, weights, **changes):
  """Writes a Hugging Face folder; a change to None leaves the key out."""
  os.makedirs(folder, exist_ok=True)
  config = {**CONFIG, **changes}
  config = {key: config[key] for key in config if config[key] is not None}
  write(folder / "config.json", json.dumps(config))
  write(folder / "vocab.txt", "[PAD]\n[UNK]\n")
  safetensors.numpy.save_file(weights, folder / "model.safetensors")
  return folder


def write(path, text):
  with open(path, "w", encoding="utf-8") as writer:
    writer.write(text)


def read_json(path):
  with open(path, encoding="utf-8") as reader:
    return json.load(reader)


def read_variables(prefix):
  reader = tf.train.load_checkpoint(str(prefix))
  names = reader.get_variable_to_shape_map()
  return {name: reader.get_tensor(name) for name in names}


def assert_equal(one, other):
  assert sorted(one) == sorted(other)
  for name in one:
    np.testing.assert_array_equal(one[name], other[name], err_msg=name)


@pytest.fixture
def convert(capsys):
  """Returns a function that runs main and returns what it printed."""

  def run(source, output, **others):
    options = convert_checkpoint.Options(
      input=str(source), output=str(output), **others
    )
    convert_checkpoint.main(options)
    return capsys.readouterr().out

  return run


def test_every_weight_goes_to_tensorflow_and_back(tmp_path, convert):
  weights = random_weights({**MODEL, **HEADS})
  write_model(tmp_path / "pt", weights)
  said = convert(tmp_path / "pt", tmp_path / "tf")
  assert "mapped: 50 tensors (encoder 37, pooler 2, masked LM 5, " in said
  assert "not found: 0" in said and "not mapped: 0" in said
  variables = read_variables(tmp_path / "tf" / "bert_model.ckpt")
  for ours, theirs in {
    "bert/embeddings/word_embeddings": weights[WORDS],
    "bert/encoder/layer_1/intermediate/dense/kernel": weights[
      "bert.encoder.layer.1.intermediate.dense.weight"
    ].T,
    "bert/encoder/layer_0/attention/self/query/kernel": weights[
      "bert.encoder.layer.0.attention.self.query.weight"
    ].T,
    "bert/encoder/layer_0/output/LayerNorm/gamma": weights[
      "bert.encoder.layer.0.output.LayerNorm.weight"
    ],
    "cls/predictions/output_bias": weights["cls.predictions.bias"],
    "cls/seq_relationship/output_weights": weights[
      "cls.seq_relationship.weight"
    ],
    "output_weights": weights["classifier.weight"],
    "cls/squad/output_bias": weights["qa_outputs.bias"],
  }.items():
    np.testing.assert_array_equal(variables[ours], theirs)
  convert(tmp_path / "tf", tmp_path / "back")
  back = safetensors.numpy.load_file(tmp_path / "back" / "model.safetensors")
  assert_equal(back, weights)


def test_the_configuration_and_the_vocabulary_are_converted_too(
  tmp_path, convert
):
  write_model(tmp_path / "pt", random_weights(MODEL), hidden_act="gelu_new")
  said = convert(tmp_path / "pt", tmp_path / "tf")
  assert "hidden_act: gelu_new -> gelu\n" in said
  ours = modeling.BertConfig.from_json_file(
    str(tmp_path / "tf" / "bert_config.json")
  )
  same = [key for key in ours.to_dict() if key != "hidden_act"]
  assert len(same) == 10
  assert all(getattr(ours, key) == CONFIG[key] for key in same)
  convert(tmp_path / "tf", tmp_path / "back", do_lower_case=False)
  theirs = read_json(tmp_path / "back" / "config.json")
  assert theirs["architectures"] == ["BertModel"]
  assert theirs["model_type"] == "bert"
  assert theirs["layer_norm_eps"] == 1e-12
  assert theirs["hidden_act"] == "gelu_new"
  assert all(theirs[key] == CONFIG[key] for key in same)
  tokenizer = read_json(tmp_path / "back" / "tokenizer_config.json")
  assert tokenizer == {"do_lower_case": False}
  for folder in ("tf", "back"):
    with open(tmp_path / folder / "vocab.txt", encoding="utf-8") as reader:
      assert reader.read() == "[PAD]\n[UNK]\n"


def test_without_heads_names_have_no_prefix(tmp_path, convert):
  weights = random_weights(MODEL)
  bare = {name[len("bert.") :]: weights[name] for name in weights}
  bare["embeddings.position_ids"] = np.arange(5)[None]
  write_model(tmp_path / "pt", bare)
  assert "not mapped: 0" in convert(tmp_path / "pt", tmp_path / "tf")
  convert(tmp_path / "tf", tmp_path / "back")
  back = safetensors.numpy.load_file(tmp_path / "back" / "model.safetensors")
  del bare["embeddings.position_ids"]
  assert_equal(back, bare)


@pytest.mark.parametrize(
  "heads, architecture",
  [
    (("cls.predictions", "cls.seq"), "BertForPreTraining"),
    (("cls.predictions",), "BertForMaskedLM"),
    (("cls.seq",), "BertForNextSentencePrediction"),
    (("classifier",), "BertForSequenceClassification"),
    (("qa",), "BertForQuestionAnswering"),
  ],
)
def test_the_heads_name_the_class(tmp_path, convert, heads, architecture):
  shapes = {name: HEADS[name] for name in HEADS if name.startswith(heads)}
  write_model(tmp_path / "pt", random_weights({**MODEL, **shapes}))
  convert(tmp_path / "pt", tmp_path / "tf")
  convert(tmp_path / "tf", tmp_path / "back")
  config = read_json(tmp_path / "back" / "config.json")
  assert config["architectures"] == [architecture]
  assert config.get("num_labels") == (3 if heads == ("classifier",) else None)


def test_label_names_are_kept(tmp_path, convert):
  weights = random_weights({**MODEL, "classifier.weight": (2, 4)})
  weights["classifier.bias"] = np.zeros(2, np.float32)
  labels = {"0": "bad", "1": "good"}
  write_model(tmp_path / "pt", weights, id2label=labels)
  convert(tmp_path / "pt", tmp_path / "tf")
  convert(tmp_path / "tf", tmp_path / "back")
  assert read_json(tmp_path / "back" / "config.json")["id2label"] == labels


def test_the_golden_checkpoint_goes_to_pytorch_and_back(tmp_path, convert):
  said = convert(GOLDEN, tmp_path / "pt")
  assert "(encoder 53, pooler 2, masked LM 5, next sentence 2)" in said
  assert "no vocab.txt beside the input" in said
  config = read_json(tmp_path / "pt" / "config.json")
  assert config["architectures"] == ["BertForPreTraining"]
  assert config["hidden_act"] == "gelu_new"
  convert(tmp_path / "pt", tmp_path / "tf")
  assert_equal(
    read_variables(tmp_path / "tf" / "bert_model.ckpt"),
    read_variables(os.path.join(GOLDEN, "model.ckpt")),
  )
  before = read_json(os.path.join(GOLDEN, "bert_config.json"))
  assert read_json(tmp_path / "tf" / "bert_config.json") == before


def test_names_of_early_checkpoints_are_known(tmp_path, convert):
  weights = random_weights(MODEL)
  early = {
    name.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
      "LayerNorm.bias", "LayerNorm.beta"
    ): weight
    for name, weight in weights.items()
  }
  assert "bert.embeddings.LayerNorm.gamma" in early
  write_model(tmp_path / "new", weights)
  write_model(tmp_path / "early", early)
  convert(tmp_path / "new", tmp_path / "tf")
  convert(tmp_path / "early" / "model.safetensors", tmp_path / "tf_early")
  assert_equal(
    read_variables(tmp_path / "tf" / "bert_model.ckpt"),
    read_variables(tmp_path / "tf_early" / "bert_model.ckpt"),
  )


def split_in_shards(folder, weights):
  names = sorted(weights)
  weight_map = {}
  os.remove(folder / "model.safetensors")
  for shard, start in enumerate((0, 20)):
    file = f"model-0000{shard + 1}-of-00002.safetensors"
    part = {name: weights[name] for name in names[start : start + 20 + start]}
    safetensors.numpy.save_file(part, folder / file)
    weight_map.update({name: file for name in part})
  index = {"metadata": {}, "weight_map": weight_map}
  write(folder / "model.safetensors.index.json", json.dumps(index))


def test_shards_are_joined(tmp_path, convert):
  weights = random_weights(MODEL)
  split_in_shards(write_model(tmp_path / "pt", weights), weights)
  convert(tmp_path / "pt", tmp_path / "tf")
  convert(tmp_path / "tf", tmp_path / "back")
  back = safetensors.numpy.load_file(tmp_path / "back" / "model.safetensors")
  assert_equal({f"bert.{name}": back[name] for name in back}, weights)


def test_a_missing_shard_is_named(tmp_path, convert):
  weights = random_weights(MODEL)
  split_in_shards(write_model(tmp_path / "pt", weights), weights)
  os.remove(tmp_path / "pt" / "model-00002-of-00002.safetensors")
  with pytest.raises(ValueError, match="there is no .*model-00002-of-00002"):
    convert(tmp_path / "pt", tmp_path / "tf")


@pytest.mark.parametrize(
  "dtype, data",
  [
    ("BF16", b"\x80\x3f\x49\xc0\x00\x00\x80\x47"),
    ("F16", b"\x00\x3c\x48\xc2\x00\x00\x00\x78"),
    ("F64", struct.pack("<4d", 1.0, -3.140625, 0.0, 2.0**15)),
  ],
)
def test_other_floats_are_read_to_float32(tmp_path, dtype, data):
  entry = {"dtype": dtype, "shape": [2, 2], "data_offsets": [0, len(data)]}
  header = json.dumps({"w": entry}).encode()
  with open(tmp_path / "w.safetensors", "wb") as writer:
    writer.write(struct.pack("<Q", len(header)) + header + data)
  weight = convert_checkpoint.load_safetensors(str(tmp_path / "w.safetensors"))
  assert weight["w"].dtype == np.float32
  last = 2.0**16 if dtype == "BF16" else 2.0**15
  assert weight["w"].tolist() == [[1.0, -3.140625], [0.0, last]]


def write_safetensors(path, header, data=b""):
  if not isinstance(header, bytes):
    header = json.dumps(header).encode()
  path.parent.mkdir(exist_ok=True)
  path.write_bytes(struct.pack("<Q", len(header)) + header + data)


def floats(first, last, *shape):
  return {"dtype": "F32", "shape": shape, "data_offsets": [first, last]}


@pytest.mark.parametrize(
  "header",
  [
    b"{",
    b"[" * 100000,
    b"\xff",
    {"w": None},
    {"w": floats(0, 80, 20)},
    {"w": floats(-4, 4, 2)},
    {"w": floats(8, 0, 2)},
    {"w": floats(0, 8, -2)},
    {"w": floats(0, 8, 2**62, 8)},
    {"w": floats(0, 8, 3)},
    {"v": floats(0, 8, 2), "w": floats(4, 12, 2)},
    {"w": {"dtype": "F7", "shape": [2], "data_offsets": [0, 8]}},
  ],
)
def test_a_forged_header_is_refused(tmp_path, header):
  path = tmp_path / "w.safetensors"
  write_safetensors(path, header, bytes(8))
  with pytest.raises(ValueError, match="is not a complete safetensors file"):
    convert_checkpoint.load_safetensors(str(path))
  path.write_bytes(b"\xff" * 8 + b"{}")  # a header longer than any file
  with pytest.raises(ValueError, match="is not a complete safetensors file"):
    convert_checkpoint.load_safetensors(str(path))


@pytest.mark.parametrize(
  ("weight_map", "sentence"),
  [
    ({"a": "../x.safetensors"}, "a is in '../x.safetensors', but has to be in"),
    ({"a": "/etc/passwd"}, "a is in '/etc/passwd', but has to be in a .safet"),
    ({"a": "vocab.txt"}, "a is in 'vocab.txt', but has to be in a .safet"),
    (
      {"a": "a.safetensors", "b": "pipe.safetensors"},
      "pipe.safetensors is a p",
    ),
    ({"a": "d.safetensors"}, "d.safetensors is a folder"),
    ({"a": "none.safetensors"}, "there is no file "),
    ({"a": "b.safetensors"}, "a is not in "),
    ({"a": "a.safetensors", "b": "b.safetensors"}, "a is in two files"),
    ({"a": 3}, "'weight_map.a' has to be a text, not 3"),
    (["a"], "'weight_map' has to be an object"),
    ({}, "'weight_map' is empty"),
  ],
)
def test_an_index_names_files_beside_it(tmp_path, weight_map, sentence):
  folder = tmp_path / "pt"
  write_safetensors(
    tmp_path / "x.safetensors", {"a": floats(0, 4, 1)}, bytes(4)
  )
  one, two = floats(0, 4, 1), floats(4, 8, 1)
  write_safetensors(folder / "a.safetensors", {"a": one}, bytes(4))
  write_safetensors(folder / "b.safetensors", {"b": one, "z": two}, bytes(8))
  if "two files" in sentence:
    write_safetensors(folder / "b.safetensors", {"b": one, "a": two}, bytes(8))
  os.mkfifo(folder / "pipe.safetensors")
  (folder / "d.safetensors").mkdir()
  index = folder / "model.safetensors.index.json"
  write(index, json.dumps({"weight_map": weight_map}))
  with pytest.raises(ValueError) as error:
    convert_checkpoint.read_pytorch(str(index))
  assert sentence in str(error.value) and "safetensors" in str(error.value)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_damaged_weights_are_named(tmp_path, convert, bad):
  weights = random_weights(MODEL)
  weights[WORDS][3, 2] = bad
  write_model(tmp_path / "pt", weights)
  with pytest.raises(ValueError, match=f"{WORDS} has NaN or infinite numbers"):
    convert(tmp_path / "pt", tmp_path / "tf")
  prefix = str(tmp_path / "model.ckpt")
  convert_checkpoint.save_checkpoint(
    prefix, {"a": np.array([0.0, bad], np.float32), "b": np.zeros(2, np.int32)}
  )
  with pytest.raises(ValueError, match="model.ckpt: a has NaN or infinite"):
    convert_checkpoint.read_tensorflow(prefix)


def test_pipes_are_no_checkpoints(tmp_path, convert):
  shutil.copytree(GOLDEN, tmp_path / "tf")
  for name in ("model.ckpt.data-00000-of-00001", "model.ckpt.index"):
    os.remove(tmp_path / "tf" / name)
    os.mkfifo(tmp_path / "tf" / name)
    with pytest.raises(ValueError, match=f"{name} is a pipe, not a file"):
      convert(tmp_path / "tf" / "model.ckpt", tmp_path / "out")


@pytest.mark.parametrize(
  "theirs, ours, back",
  [
    ("gelu", "gelu_erf", "gelu"),
    ("gelu_new", "gelu", "gelu_new"),
    ("gelu_pytorch_tanh", "gelu", "gelu_new"),
    ("relu", "relu", "relu"),
    ("tanh", "tanh", "tanh"),
    ("linear", "linear", "linear"),
  ],
)
def test_activations_are_mapped_by_meaning(theirs, ours, back):
  config = {**CONFIG, "hidden_act": theirs}
  mapped = convert_checkpoint.to_bert_config(config, "config.json")
  assert mapped["hidden_act"] == ours
  again = convert_checkpoint.to_hugging_face_config(mapped, "bert_config.json")
  assert again["hidden_act"] == back


def test_no_activation_is_linear_and_case_is_ignored():
  for ours, theirs in (("", "linear"), (None, "linear"), ("GELU", "gelu_new")):
    config = {"vocab_size": 11, "hidden_act": ours}
    config = convert_checkpoint.to_hugging_face_config(config, "b.json")
    assert config["hidden_act"] == theirs


def test_what_is_not_mapped_is_listed(tmp_path, convert):
  weights = random_weights(
    {**MODEL, "classifier.bias": (3,), "crf.transitions": (3, 3)}
  )
  write_model(tmp_path / "pt", weights)
  said = convert(tmp_path / "pt", tmp_path / "tf")
  assert "not found: 1 (classifier.weight)" in said
  assert "not mapped: 1 (crf.transitions)" in said


def test_tied_weights_are_written_once(tmp_path, convert):
  weights = random_weights({**MODEL, **HEADS})
  tied = {
    "cls.predictions.decoder.weight": weights[WORDS],
    "cls.predictions.decoder.bias": weights["cls.predictions.bias"],
  }
  write_model(tmp_path / "pt", {**weights, **tied})
  assert "not mapped: 0" in convert(tmp_path / "pt", tmp_path / "tf")
  for name, weight in tied.items():
    write_model(tmp_path / "untied", {**weights, **tied, name: weight + 1})
    with pytest.raises(ValueError, match="differ"):
      convert(tmp_path / "untied", tmp_path / "no")


@pytest.mark.parametrize(
  "changes, message",
  [
    ({"model_type": "roberta"}, "model_type is roberta, but only bert is supp"),
    ({"layer_norm_eps": 1e-5}, "layer_norm_eps is 1e-05, but only 1e-12"),
    (
      {"position_embedding_type": "relative_key"},
      "position_embedding_type is relative_key, but only absolute",
    ),
    ({"is_decoder": True}, "is_decoder is True, but only False"),
    (
      {"hidden_act": "silu"},
      "hidden_act is silu: give one of gelu, .*, linear",
    ),
    (
      {"hidden_size": 8},
      r"word_embeddings.weight has .* \(11, 4\), but \(11, 8\)",
    ),
    ({"intermediate_size": 7}, r"dense.weight has .* \(6, 4\), but \(7, 4\)"),
    ({"num_hidden_layers": 3}, "lacks bert.encoder.layer.2.* is 3"),
    ({"num_hidden_layers": 1}, "bert.encoder.layer.1.* is 1"),
  ],
)
def test_models_that_differ_from_our_graph_are_refused(
  tmp_path, convert, changes, message
):
  write_model(tmp_path / "pt", random_weights(MODEL), **changes)
  with pytest.raises(ValueError, match=message):
    convert(tmp_path / "pt", tmp_path / "tf")
  assert os.listdir(tmp_path) == ["pt"]


def test_what_cannot_be_read_is_refused(tmp_path, convert):
  def refused(message, source, **others):
    with pytest.raises(ValueError, match=message):
      convert(source, tmp_path / "out", **others)

  pt = write_model(tmp_path / "pt", random_weights(MODEL))
  refused("is not a checkpoint or a folder", tmp_path / "nothing")
  refused("no model.safetensors", tmp_path)
  refused("is not a checkpoint or a folder", pt / "vocab.txt")
  refused("--strip is for TensorFlow", pt, strip=True)
  refused("--do_lower_case", pt, do_lower_case=True)
  refused(
    "nothing.json is missing.*--config_file", pt, config_file="nothing.json"
  )
  refused("not JSON", pt, config_file=str(pt / "vocab.txt"))
  write_model(tmp_path / "other", random_weights({"lstm.weight": (4, 4)}))
  refused("no BERT weights; it has lstm.weight", tmp_path / "other")
  write_model(tmp_path / "int", {WORDS: np.zeros([11, 4], np.int8)})
  refused("word_embeddings.weight is I8, not a float", tmp_path / "int")
  write(pt / "x.safetensors.index.json", "{}")
  refused("no key 'weight_map'", pt / "x.safetensors.index.json")
  with open(pt / "model.safetensors", "r+b") as file:
    file.truncate(1000)
  refused("is not a complete safetensors file", pt)


def test_a_pickle_is_refused_with_the_way_out(tmp_path, convert):
  for path in (tmp_path, tmp_path / "pytorch_model.bin"):
    write(tmp_path / "pytorch_model.bin", "")
    with pytest.raises(ValueError, match=r"is a pickle, .*save_file\(.*clone"):
      convert(path, tmp_path / "out")


def test_a_damaged_tensorflow_checkpoint_is_refused(tmp_path, convert):
  shutil.copytree(GOLDEN, tmp_path / "tf")
  with open(tmp_path / "tf" / "model.ckpt.data-00000-of-00001", "w"):
    pass
  with pytest.raises(ValueError, match="model.ckpt is damaged: its data files"):
    convert(tmp_path / "tf", tmp_path / "out")
  with pytest.raises(ValueError, match="model.ckpt cannot be read"):
    convert(tmp_path / "tf" / "model.ckpt", tmp_path / "out")
  with open(tmp_path / "tf" / "model.ckpt.index", "w"):
    pass
  with pytest.raises(ValueError, match="model.ckpt is damaged"):
    convert(tmp_path / "tf", tmp_path / "out")


def test_a_hugging_face_configuration_does_not_pass_for_ours(convert, tmp_path):
  write(tmp_path / "config.json", json.dumps(CONFIG))
  with pytest.raises(ValueError, match="is from Hugging Face"):
    convert(GOLDEN, tmp_path / "out", config_file=str(tmp_path / "config.json"))


@pytest.mark.parametrize(
  "name",
  [
    "",
    "/",
    "/model.ckpt",
    "/model.ckpt.index",
    "/model.ckpt.data-00000-of-00001",
  ],
)
def test_a_checkpoint_is_found_by_any_of_its_names(name):
  found = convert_checkpoint.find_input(GOLDEN + name)
  assert found == os.path.join(GOLDEN, "model.ckpt")


def test_the_latest_checkpoint_of_a_folder_is_used(tmp_path):
  weight = tf.get_variable("weight", [2])
  saver = tf.train.Saver()
  with tf.Session() as session:
    session.run(weight.initializer)
    for step in (1, 2):
      saver.save(session, str(tmp_path / "model.ckpt"), global_step=step)
  found = convert_checkpoint.find_input(str(tmp_path))
  assert found == str(tmp_path / "model.ckpt-2")
  os.remove(tmp_path / "checkpoint")
  found = convert_checkpoint.find_input(str(tmp_path))
  assert found == str(tmp_path / "model.ckpt-2")


def save_training_checkpoint(prefix):
  """Saves a weight and a step as TensorFlow does, with slots of optimisers."""
  kept = ["bert/pooler/dense/kernel", "output_bias"]
  dropped = [
    "bert/pooler/dense/kernel/adam_m",
    "bert/pooler/dense/kernel/adam_v",
    "output_bias/LAMB",
    "output_bias/LAMB_1",
    "beta1_power",
    "beta2_power",
  ]
  variables = [tf.get_variable(name, [2, 2]) for name in kept + dropped]
  tf.train.create_global_step()
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    tf.train.Saver().save(session, str(prefix))
    return dict(zip(kept, session.run(variables[: len(kept)])))


def test_strip_keeps_the_weights_only(tmp_path, convert):
  kept = save_training_checkpoint(tmp_path / "model.ckpt-7")
  write(tmp_path / "bert_config.json", "{}")
  write(tmp_path / "vocab.txt", "[PAD]\n")
  said = convert(tmp_path, tmp_path / "out", strip=True)
  assert "kept: 2 variables" in said
  assert "left out: 7 variables" in said
  assert_equal(read_variables(tmp_path / "out" / "bert_model.ckpt"), kept)
  assert sorted(os.listdir(tmp_path / "out")) == [
    "bert_config.json",
    "bert_model.ckpt.data-00000-of-00001",
    "bert_model.ckpt.index",
    "vocab.txt",
  ]


def write_layers(folder, size):
  """A TensorFlow checkpoint whose layer i holds i, with a head and a slot."""
  os.makedirs(folder)
  variables = {
    "bert/pooler/dense/bias": np.ones(2, np.float32),
    "output_bias": np.zeros(2, np.float32),
    "output_bias/adam_m": np.zeros(2, np.float32),
    "global_step": np.int64(7),
  }
  for layer in range(size):
    name = f"bert/encoder/layer_{layer}/output/dense/bias"
    variables[name] = np.full(2, layer, np.float32)
  convert_checkpoint.save_checkpoint(str(folder / "model.ckpt"), variables)
  config = {**CONFIG, "num_hidden_layers": size, "language": "xx"}
  write(folder / "bert_config.json", json.dumps(config))
  write(folder / "vocab.txt", "[PAD]\n")


def test_some_layers_make_a_smaller_model(tmp_path, convert):
  write_layers(tmp_path / "in", 12)
  said = convert(tmp_path / "in", tmp_path / "out", layers=("0", " 11", "5"))
  assert "layers: 12 -> 3" in said
  assert "left out: 2 variables of the optimiser and the step" in said
  found = read_variables(tmp_path / "out" / "bert_model.ckpt")
  assert {name: values.tolist() for name, values in found.items()} == {
    "bert/encoder/layer_0/output/dense/bias": [0.0, 0.0],
    "bert/encoder/layer_1/output/dense/bias": [11.0, 11.0],
    "bert/encoder/layer_2/output/dense/bias": [5.0, 5.0],
    "bert/pooler/dense/bias": [1.0, 1.0],
    "output_bias": [0.0, 0.0],
  }
  config = read_json(tmp_path / "out" / "bert_config.json")
  assert config["num_hidden_layers"] == 3
  assert config["language"] == "xx"
  assert (tmp_path / "out" / "vocab.txt").read_text() == "[PAD]\n"


@pytest.mark.parametrize(
  ("options", "message"),
  [
    ({"layers": ("0", "2")}, "no layer '2' in .*, which has 2: .* from 0 to 1"),
    ({"layers": ("-1",)}, "there is no layer '-1'"),
    ({"layers": ("x",)}, "there is no layer 'x'"),
    ({"layers": ("1", "1")}, "--layers=1,1 names a layer twice"),
    ({"given": frozenset({"layers"})}, "--layers is empty: give numbers"),
    ({"layers": ("0",), "strip": True}, "--layers also does what --strip"),
    ({"layers": ("0",), "new_vocab_file": "v"}, "--new_vocab_file: omit"),
  ],
)
def test_layers_that_do_not_exist_are_refused(
  tmp_path, convert, options, message
):
  write_layers(tmp_path / "in", 2)
  with pytest.raises(ValueError, match=message):
    convert(tmp_path / "in", tmp_path / "out", **options)
  assert not (tmp_path / "out").exists()


SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
TABLES = ("bert/embeddings/word_embeddings", "cls/predictions/output_bias")


def write_small_model(folder, tokens, rows=8):
  """A TensorFlow checkpoint of tables only, whose row i holds 2 ** i."""
  os.makedirs(folder)
  powers = 2.0 ** np.arange(rows, dtype=np.float32)
  variables = {
    TABLES[0]: np.stack([powers, -powers], axis=1),
    TABLES[1]: powers,
    "bert/pooler/dense/bias": np.ones(2, np.float32),
    "global_step": np.int64(7),
  }
  convert_checkpoint.save_checkpoint(str(folder / "model.ckpt"), variables)
  config = {**CONFIG, "vocab_size": rows, "language": "xx"}
  write(folder / "bert_config.json", json.dumps(config))
  write(folder / "vocab.txt", "\n".join(tokens))


def test_a_new_vocabulary_starts_from_the_old_vectors(tmp_path, convert):
  write_small_model(tmp_path / "old", [*SPECIAL, "go", "##es", "##e"])
  tokens = ["go", *SPECIAL, "goes", "##eés", "##go", "##e", "[unused0]", "Go"]
  write(tmp_path / "new.txt", "\n".join([*tokens, "", "##", "goées!"]))
  new_vocab_file = str(tmp_path / "new.txt")
  said = convert(
    tmp_path / "old", tmp_path / "out", new_vocab_file=new_vocab_file
  )
  assert "vocabulary: 8 -> 15 tokens\n" in said
  assert "copied: 7 tokens\n" in said
  assert "mean of their old pieces: 4 tokens, 2.0 each\n" in said
  assert "without a piece: 4 tokens (##go, [unused0], , ##)\n" in said
  go, es, e, every = 32, 64, 128, 255 / 8
  wanted = [go, 1, 2, 4, 8, 16, (go + es) / 2, (e + es) / 2, every, e, every]
  wanted += [go, every, every, (go + e + es) / 3]
  variables = read_variables(tmp_path / "out" / "bert_model.ckpt")
  words, bias = (variables.pop(name) for name in TABLES)
  np.testing.assert_allclose(bias, wanted, rtol=1e-6)
  np.testing.assert_array_equal(words, np.stack([bias, -bias], axis=1))
  assert_equal(variables, {"bert/pooler/dense/bias": np.ones(2)})
  config = read_json(tmp_path / "out" / "bert_config.json")
  assert config["vocab_size"] == 15 and config["language"] == "xx"
  assert (tmp_path / "out" / "vocab.txt").read_bytes() == (
    (tmp_path / "new.txt").read_bytes()
  )


def test_new_tokens_are_split_in_the_case_of_the_old_vocabulary():
  old = {token: index for index, token in enumerate(["a", "##b", "A", "##B"])}
  for lower, rows in ((True, [0, 1]), (False, [2, 3])):
    assert convert_checkpoint.old_rows(old, {"AB": 5}, lower) == {5: rows}
  names = ["Paris", "Rome", "Oslo", *"abcdefgh"]
  cased = {name * 2: index for index, name in enumerate(names)}
  assert convert_checkpoint.old_rows(cased, {"A": 0, "AA": 1}) == {0: [], 1: []}


@pytest.mark.parametrize(
  "rows, new, flags, sentence",
  [
    (8, ["a"], {}, "new.txt lacks .PAD., .UNK., .CLS., .SEP., .MASK.: add"),
    (5, SPECIAL, {}, "vocab.txt has 6 tokens, but .* has 5 word vectors"),
    (8, SPECIAL, {"strip": True}, "also does what --strip does"),
    (8, SPECIAL, {"vocab_file": "none"}, "there is no vocabulary file"),
  ],
)
def test_a_new_vocabulary_that_does_not_fit_is_refused(
  tmp_path, convert, rows, new, flags, sentence
):
  write_small_model(tmp_path / "old", [*SPECIAL, "go"], rows)
  write(tmp_path / "new.txt", "\n".join(new))
  flags = {"new_vocab_file": str(tmp_path / "new.txt"), **flags}
  with pytest.raises(ValueError, match=sentence):
    convert(tmp_path / "old", tmp_path / "out", **flags)
  assert not (tmp_path / "out").exists()


def test_existing_files_are_kept_unless_overwrite(tmp_path, convert):
  write_model(tmp_path / "pt", random_weights(MODEL))
  os.makedirs(tmp_path / "tf")
  write(tmp_path / "tf" / "bert_config.json", "mine")
  with pytest.raises(ValueError, match="bert_config.json exists.*--overwrite"):
    convert(tmp_path / "pt", tmp_path / "tf")
  assert os.listdir(tmp_path / "tf") == ["bert_config.json"]
  write(tmp_path / "tf" / "notes", "mine too")
  convert(tmp_path / "pt", tmp_path / "tf", overwrite=True)
  assert len(os.listdir(tmp_path / "tf")) == 5
  assert read_json(tmp_path / "tf" / "bert_config.json")["vocab_size"] == 11
  with pytest.raises(ValueError, match="bert_model.ckpt exists"):
    convert(tmp_path / "pt", tmp_path / "tf")
  with pytest.raises(ValueError, match="is a file: give a folder"):
    convert(tmp_path / "pt", tmp_path / "tf" / "notes")


def test_a_failure_leaves_nothing_behind(tmp_path, monkeypatch):
  def fail(*_):
    raise OSError(errno.ENOSPC, "No space left on device", "tf")

  write_model(tmp_path / "pt", random_weights(MODEL))
  monkeypatch.setattr(convert_checkpoint, "save_checkpoint", fail)
  flags = (f"--input={tmp_path / 'pt'}", f"--output={tmp_path / 'tf'}")
  done = helpers.run(convert_checkpoint, *flags)
  assert done == (1, "", "error: tf: no room left on the disk\n")
  assert os.listdir(tmp_path) == ["pt"]


def test_what_a_killed_run_left_is_removed(tmp_path):
  write_model(tmp_path / "pt", random_weights(MODEL))
  os.makedirs(tmp_path / "tf" / ".partial")
  write(tmp_path / "tf" / ".partial" / "old", "")
  flags = (f"--input={tmp_path / 'pt'}", f"--output={tmp_path / 'tf'}")
  with locks.locked(str(tmp_path / "tf")):
    done = helpers.run(convert_checkpoint, *flags)
    assert "tf is in use by" in done.stderr
  assert helpers.run(convert_checkpoint, *flags).returncode == 0
  assert sorted(os.listdir(tmp_path / "tf")) == [
    *("bert_config.json", "bert_model.ckpt.data-00000-of-00001"),
    *("bert_model.ckpt.index", "vocab.txt"),
  ]


def test_the_script_converts(tmp_path):
  done = helpers.run(
    convert_checkpoint, f"--input={GOLDEN}", f"--output={tmp_path}/pt"
  )
  assert (done.returncode, done.stderr) == (0, "")
  assert "mapped: 62 tensors" in done.stdout
  assert sorted(os.listdir(tmp_path / "pt")) == [
    "config.json",
    "model.safetensors",
  ]


def test_bad_input_gives_one_sentence(tmp_path):
  done = helpers.run(
    convert_checkpoint, f"--input={tmp_path}", f"--output={tmp_path}/out"
  )
  assert done.returncode == 1
  assert done.stderr == (
    f"error: --input={tmp_path} has no model.safetensors and no *.index\n"
  )


BATCH = {
  "input_ids": np.array([[5, 3, 9, 1], [2, 8, 0, 0]]),
  "attention_mask": np.array([[1, 1, 1, 1], [1, 1, 0, 0]]),
  "token_type_ids": np.array([[0, 0, 1, 1], [0, 1, 0, 0]]),
}


def our_outputs(folder):
  """Returns sequence and pooled output of a converted model on BATCH."""
  config = modeling.BertConfig.from_json_file(str(folder / "bert_config.json"))
  model = modeling.BertModel(
    config,
    False,
    *(tf.constant(value, tf.int32) for value in BATCH.values()),
  )
  with tf.Session() as session:
    tf.train.Saver().restore(session, str(folder / "bert_model.ckpt"))
    return session.run([model.get_sequence_output(), model.get_pooled_output()])


def their_outputs(model):
  torch = pytest.importorskip("torch")
  batch = {name: torch.tensor(value) for name, value in BATCH.items()}
  with torch.no_grad():
    sequence, pooled = model.eval()(**batch, return_dict=False)
  return sequence.numpy(), pooled.numpy()


@pytest.fixture
def transformers():
  reason = "PyTorch and transformers are not installed"
  pytest.importorskip("torch", reason=reason)
  return pytest.importorskip("transformers", reason=reason)


@pytest.mark.parametrize("activation", ["gelu", "gelu_new", "relu"])
def test_pytorch_computes_the_same(tmp_path, convert, transformers, activation):
  config = transformers.BertConfig(
    **{**CONFIG, "hidden_act": activation, "initializer_range": 0.5}
  )
  model = transformers.BertForPreTraining(config)
  model.save_pretrained(tmp_path / "pt", safe_serialization=True)
  convert(tmp_path / "pt", tmp_path / "tf")
  ours, theirs = our_outputs(tmp_path / "tf"), their_outputs(model.bert)
  for one, other in zip(ours, theirs):
    np.testing.assert_allclose(one, other, atol=1e-4)


def test_transformers_loads_what_is_written(tmp_path, convert, transformers):
  weights = random_weights({**MODEL, **HEADS})
  write_model(tmp_path / "pt", weights)
  convert(tmp_path / "pt", tmp_path / "tf")
  convert(tmp_path / "tf", tmp_path / "back", do_lower_case=True)
  for name, prefix in (
    ("BertForPreTraining", "cls.predictions.bias"),
    ("BertForQuestionAnswering", "qa_outputs.bias"),
  ):
    model, info = getattr(transformers, name).from_pretrained(
      tmp_path / "back", output_loading_info=True
    )
    assert not info["missing_keys"] and not info["mismatched_keys"]
    state = model.state_dict()
    np.testing.assert_array_equal(state[prefix].numpy(), weights[prefix])
    np.testing.assert_array_equal(state[WORDS].numpy(), weights[WORDS])
  assert transformers.BertTokenizer.from_pretrained(
    tmp_path / "back"
  ).do_lower_case
