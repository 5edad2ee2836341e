# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Converts BERT checkpoints between PyTorch (Hugging Face) and TensorFlow.

In: a .safetensors file, a Hugging Face folder or a TensorFlow checkpoint.
Out: a folder with the other kind: weights, configuration and vocabulary; or the
TensorFlow checkpoint without its optimiser's state (--strip), or with another
vocabulary, to train on from there (--new_vocab_file).
"""

from __future__ import annotations

from bert.training import common_flags  # isort: skip (quiets TensorFlow before it starts)

import collections
import functools
import json
import os
import re

import numpy as np
import safetensors
import safetensors.numpy
import tensorflow.compat.v1 as tf
from absl import flags

import modeling
import tokenization

FLAGS = flags.FLAGS

# The sizes of the tensors, as the configuration calls them.
V, T, P = "vocab_size", "type_vocab_size", "max_position_embeddings"
D, F, LABELS = "hidden_size", "intermediate_size", "num_labels"

# A module's tensors: the ends of PyTorch's and TensorFlow's names, and which
# axes of the module's shape they have. PyTorch has kernels transposed.
TABLE = (("weight", "", slice(0, 2)),)
DENSE = (("weight", "/kernel", slice(0, 2)), ("bias", "/bias", slice(1, 2)))
NORM = (("weight", "/gamma", slice(0, 1)), ("bias", "/beta", slice(0, 1)))
BIAS = (("bias", "output_bias", slice(0, 1)),)
HEAD = (("weight", "output_weights", slice(0, 2)), *BIAS)

# {(part, PyTorch prefix, TensorFlow prefix): modules by PyTorch's name and
# TensorFlow's, shape in TensorFlow, tensors}; {} counts the layers.
NAME_MAP = {
  ("encoder", "bert.embeddings.", "bert/embeddings/"): (
    ("word_embeddings.", "word_embeddings", (V, D), TABLE),
    ("token_type_embeddings.", "token_type_embeddings", (T, D), TABLE),
    ("position_embeddings.", "position_embeddings", (P, D), TABLE),
    ("LayerNorm.", "LayerNorm", (D,), NORM),
  ),
  ("encoder", "bert.encoder.layer.{}.", "bert/encoder/layer_{}/"): (
    ("attention.self.query.", "attention/self/query", (D, D), DENSE),
    ("attention.self.key.", "attention/self/key", (D, D), DENSE),
    ("attention.self.value.", "attention/self/value", (D, D), DENSE),
    ("attention.output.dense.", "attention/output/dense", (D, D), DENSE),
    ("attention.output.LayerNorm.", "attention/output/LayerNorm", (D,), NORM),
    ("intermediate.dense.", "intermediate/dense", (D, F), DENSE),
    ("output.dense.", "output/dense", (F, D), DENSE),
    ("output.LayerNorm.", "output/LayerNorm", (D,), NORM),
  ),
  ("pooler", "bert.pooler.", "bert/pooler/"): (
    ("dense.", "dense", (D, D), DENSE),
  ),
  ("masked LM", "cls.predictions.", "cls/predictions/"): (
    ("transform.dense.", "transform/dense", (D, D), DENSE),
    ("transform.LayerNorm.", "transform/LayerNorm", (D,), NORM),
    ("", "", (V,), BIAS),
  ),
  ("next sentence", "cls.", "cls/"): (
    ("seq_relationship.", "seq_relationship/", (2, D), HEAD),
  ),
  ("classifier", "", ""): (("classifier.", "", (LABELS, D), HEAD),),
  ("SQuAD", "", "cls/"): (("qa_outputs.", "squad/", (2, D), HEAD),),
}
TIED = {  # PyTorch's second names for a weight
  "cls.predictions.decoder.weight": "bert.embeddings.word_embeddings.weight",
  "cls.predictions.decoder.bias": "cls.predictions.bias",
}
OPTIMISER_STATE = r"(?i)(^|/)(global_step$|beta[12]_power|adam|lamb)"
ARCHITECTURES = {  # Hugging Face's class for these parts
  ("masked LM", "next sentence"): "BertForPreTraining",
  ("masked LM",): "BertForMaskedLM",
  ("next sentence",): "BertForNextSentencePrediction",
  ("SQuAD",): "BertForQuestionAnswering",
  ("classifier",): "BertForSequenceClassification",
  (): "BertModel",
}
ONLY_VALUES = {  # of Hugging Face's configuration, that our graph computes
  "model_type": "bert",
  "layer_norm_eps": 1e-12,
  "position_embedding_type": "absolute",
  "is_decoder": False,
}
ACTIVATIONS = {  # Hugging Face's name: ours; the last of equals is written
  "gelu": "gelu_erf",
  "gelu_pytorch_tanh": "gelu",
  "gelu_new": "gelu",
  "relu": "relu",
  "tanh": "tanh",
  "linear": "linear",
}
FLOATS = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}
CHECKPOINT = "bert_model.ckpt"
WORDS = "bert/embeddings/word_embeddings"
BY_TOKEN = (
  WORDS,
  "cls/predictions/output_bias",
)  # variables with a row a token


def define_flags():
  """Defines this script's flags."""
  flags.DEFINE_string(
    "input",
    None,
    "A Hugging Face folder or .safetensors file, to become TensorFlow's; or a "
    "TensorFlow checkpoint, by folder or prefix, to become PyTorch's.",
  )
  flags.DEFINE_string("output", None, "The folder to write.")
  flags.DEFINE_bool("strip", False, "Only drop TensorFlow's slots and step.")
  flags.DEFINE_string(
    "new_vocab_file",
    None,
    "Give a TensorFlow checkpoint this vocabulary. Tokens that it had keep"
    " their vectors; a new one has the mean of those of its pieces so far.",
  )
  flags.DEFINE_string("config_file", None, "By default beside the input.")
  flags.DEFINE_string("vocab_file", None, "By default beside the input.")
  flags.DEFINE_bool(
    "do_lower_case",
    None,
    "The case, to note for PyTorch; with --new_vocab_file, that of the"
    " vocabulary so far, by default told by its capitals.",
  )
  flags.DEFINE_bool("overwrite", False, "Replace files that are in --output.")
  flags.mark_flags_as_required(["input", "output"])


def is_pytorch(path: str) -> bool:
  """Tells a safetensors file or its index from a TensorFlow prefix."""
  return path.endswith((".safetensors", ".safetensors.index.json"))


def find_input(path: str) -> str:
  """Returns the safetensors file, its index or the TensorFlow prefix meant."""
  path = re.sub(r"\.(index|data-\d+-of-\d+)$", "", path.rstrip("/"))
  if tf.io.gfile.isdir(path):
    return _find_in_folder(path)
  exists = tf.io.gfile.exists(path)
  if tf.io.gfile.exists(path + ".index") or (exists and is_pytorch(path)):
    return path
  if exists:
    _refuse_pickle(path)
  raise ValueError(f"--input={path} is no checkpoint, nor a folder with one")


def _find_in_folder(folder: str) -> str:
  names = sorted(tf.io.gfile.listdir(folder))  # a whole model before its shards
  found = [n for n in names if n.startswith("model.") and is_pytorch(n)][:1]
  latest = tf.train.latest_checkpoint(folder)
  prefixes = [name[:-6] for name in names if name.endswith(".index")]
  found += [os.path.basename(latest)] if latest else prefixes
  if len(found) == 1:
    return os.path.join(folder, found[0])
  if found:
    raise ValueError(f"--input={folder} has several, add {' or '.join(found)}")
  for name in names:
    if name.startswith("pytorch_model"):
      _refuse_pickle(os.path.join(folder, name))
  raise ValueError(f"--input={folder} has no model.safetensors and no *.index")


def _refuse_pickle(path: str):
  if path.endswith((".bin", ".pt", ".pth")):
    raise ValueError(
      f"{path} is a pickle, which can run code when loaded: first save it, in "
      "PyTorch, by safetensors.torch.save_file({k: v.contiguous().clone() for "
      f'k, v in torch.load("{path}", weights_only=True).items()}}, '
      '"model.safetensors")'
    )


def read_bytes(path: str) -> bytes:
  """Returns a file's content."""
  with tf.io.gfile.GFile(path, "rb") as reader:
    return reader.read()


def load_safetensors(path: str) -> dict[str, np.ndarray]:
  """Returns a file's weights in float32, without the buffers of ids."""
  try:
    entries = safetensors.deserialize(read_bytes(path))
  except safetensors.SafetensorError as error:
    raise ValueError(f"{path} is no whole safetensors file: {error}") from error
  weights = {}
  for name, entry in entries:
    if name.endswith(("position_ids", "token_type_ids")):
      continue
    if entry["dtype"] not in FLOATS:
      raise ValueError(f"{path}: {name} is {entry['dtype']}, not a float")
    weight = np.frombuffer(entry["data"], FLOATS[entry["dtype"]])
    if entry["dtype"] == "BF16":  # the upper half of a float32
      weight = (weight.astype("<u4") << 16).view("<f4")
    weights[name] = weight.astype(np.float32).reshape(entry["shape"])
  return weights


def read_shards(path: str) -> list[str]:
  """Returns the file names in a model.safetensors.index.json."""
  try:
    return sorted(set(json.loads(read_bytes(path))["weight_map"].values()))
  except (ValueError, KeyError, TypeError, AttributeError) as error:
    raise ValueError(f"{path} is no index of safetensors files") from error


def read_pytorch(path: str) -> dict[str, np.ndarray]:
  """Returns the weights of a safetensors file or index by NAME_MAP's names.

  Names of early checkpoints and names without "bert." are brought up to it,
  unknown names stay. Of tied weights one is kept; ValueError if they differ.
  """
  shards = [os.path.basename(path)]
  if path.endswith(".json"):
    shards = read_shards(path)
  loaded = {}
  for shard in shards:
    loaded.update(load_safetensors(os.path.join(os.path.dirname(path), shard)))
  weights = {}
  for old, weight in sorted(loaded.items()):
    name = re.sub(r"^(?=(embeddings|encoder|pooler)\.)", "bert.", old)
    name = name.replace("LayerNorm.gamma", "LayerNorm.weight")
    name = name.replace("LayerNorm.beta", "LayerNorm.bias")
    name = TIED.get(name, name)
    first = weights.setdefault(name, weight)
    if not np.array_equal(first, weight, equal_nan=True):
      raise ValueError(f"{path}: {old} differs from {name}, here they are one")
  return weights


def read_tensorflow(prefix: str):
  """Returns {variable: array} and a line on the optimiser state left out."""
  try:
    reader = tf.train.load_checkpoint(prefix)
    names = sorted(reader.get_variable_to_shape_map())
    state = [name for name in names if re.search(OPTIMISER_STATE, name)]
    kept = [name for name in names if name not in state]
    left_out = f"left out: {len(state)} variables of the optimiser and the step"
    return {name: reader.get_tensor(name) for name in kept}, left_out
  except (tf.errors.OpError, IndexError, RuntimeError) as error:
    raise ValueError(f"{prefix} cannot be read: {error}") from error


def tensor_table(config: dict):
  """Yields part, PyTorch name, TensorFlow name and shape of each tensor."""
  for (part, *prefixes), modules in NAME_MAP.items():
    layers = config["num_hidden_layers"] if "{}" in prefixes[0] else 1
    for layer in range(layers):
      pytorch, tensorflow = (prefix.format(layer) for prefix in prefixes)
      for theirs, ours, sizes, tensors in modules:
        for weight, variable, axes in tensors:
          shape = tuple(config.get(size, size) for size in sizes[axes])
          names = pytorch + theirs + weight, tensorflow + ours + variable
          yield part, *names, shape


def rename_weights(weights: dict, config: dict, to_tensorflow: bool):
  """Gives weights the names and layouts of the other library.

  Args:
    weights: {name: array}; those that are mapped are taken out.
    config: the sizes that they must have, as in bert_config.json.
    to_tensorflow: the direction.

  Returns:
    ({new name: float32 array}, {part: count}, [names missing in a part]).
  """
  labels = weights.get("classifier.bias", weights.get("output_bias"))
  table = tensor_table({**config, LABELS: np.size(labels)})
  renamed, parts, missing = {}, collections.Counter(), []
  for part, theirs, ours, shape in table:
    source, target = (theirs, ours) if to_tensorflow else (ours, theirs)
    if source not in weights:
      missing.append((part, source))
      continue
    weight = weights.pop(source)
    is_kernel = ours.endswith("/kernel")
    wanted = shape[::-1] if is_kernel and to_tensorflow else shape
    if weight.shape != wanted:
      raise ValueError(
        f"{source} is {weight.shape}, but by the configuration {wanted}"
      )
    weight = weight.T if is_kernel else weight
    renamed[target] = np.ascontiguousarray(weight, np.float32)
    parts[part] += 1
  _check_encoder(renamed, weights, missing, config["num_hidden_layers"])
  return renamed, parts, [name for part, name in missing if part in parts]


def _check_encoder(renamed, unmapped, missing, num_layers):
  if not renamed:
    raise ValueError(f"no BERT weight among {', '.join(sorted(unmapped)[:3])}")
  for part, name in missing:
    if part == "encoder":
      raise ValueError(f"no {name}, but num_hidden_layers is {num_layers}")
  for name in sorted(unmapped):
    layer = re.match(r"bert.encoder.layer.(\d+)", name)
    if layer and int(layer[1]) >= num_layers:
      raise ValueError(f"{name}, but num_hidden_layers is {num_layers}")


def to_bert_config(config: dict, file: str) -> dict:
  """Returns bert_config.json for a Hugging Face config.json, or raises."""
  for key, only in ONLY_VALUES.items():
    if config.get(key, only) != only:
      raise ValueError(f"{file}: {key} is {config[key]}, only {only} is known")
  known = (*vars(modeling.BertConfig(vocab_size=None)), "id2label", "label2id")
  ours = {key: config[key] for key in known if key in config}
  return {**ours, "hidden_act": _map_activation(ours, ACTIVATIONS, file)}


def to_hugging_face_config(config: dict, file: str) -> dict:
  """Returns config.json for a bert_config.json, or raises."""
  if "model_type" in config:
    raise ValueError(f"{file} is Hugging Face's, not a bert_config.json")
  names = {ours: theirs for theirs, ours in ACTIVATIONS.items()}
  activation = _map_activation(config, names, file)
  return {**ONLY_VALUES, **config, "hidden_act": activation}


def _map_activation(config: dict, names: dict, file: str) -> str:
  name = (config["hidden_act"] or "linear").lower()
  if name not in names:
    known = ", ".join(names)
    raise ValueError(f"{file}: hidden_act is {name}, only {known} are known")
  return names[name]


def to_tensorflow(path: str, config_file: str):
  """Returns ({file: content}, [lines to show]) for PyTorch's weights."""
  theirs = modeling.BertConfig.from_json_file(config_file).to_dict()
  config = to_bert_config(theirs, config_file)
  weights = read_pytorch(path)
  variables, parts, missing = rename_weights(weights, config, True)
  files = {CHECKPOINT: variables, "bert_config.json": to_json(config)}
  return files, report(parts, missing, weights, theirs, config)


def to_pytorch(path: str, config_file: str):
  """Returns ({file: content}, [lines to show]) for a TensorFlow checkpoint."""
  ours = modeling.BertConfig.from_json_file(config_file).to_dict()
  config = to_hugging_face_config(ours, config_file)
  variables, left_out = read_tensorflow(path)
  weights, parts, missing = rename_weights(variables, config, False)
  heads = next(heads for heads in ARCHITECTURES if set(heads) <= set(parts))
  config["architectures"] = [ARCHITECTURES[heads]]
  if "classifier" in heads and "id2label" not in config:
    config[LABELS] = len(weights["classifier.bias"])
  if not heads:  # the names of a bare BertModel have no prefix
    weights = {name[len("bert.") :]: weights[name] for name in weights}
  content = safetensors.numpy.save(weights, {"format": "pt"})
  files = {"model.safetensors": content, "config.json": to_json(config)}
  return files, [*report(parts, missing, variables, ours, config), left_out]


def strip(path: str, config_file: str):
  """Returns ({file: content}, [lines to show]): only the model's variables."""
  if is_pytorch(path):
    raise ValueError(f"--strip is for TensorFlow checkpoints, not {path}")
  variables, left_out = read_tensorflow(path)
  if not variables:
    raise ValueError(f"{path} has nothing but the optimiser's state")
  files = {CHECKPOINT: variables}
  if tf.io.gfile.exists(config_file):
    files["bert_config.json"] = read_bytes(config_file)
  return files, [f"kept: {len(variables)} variables", left_out]


def change_vocabulary(
  path: str, config_file: str, old_file: str, new_file: str, do_lower_case=None
):
  """Returns ({file: content}, [lines to show]) for another vocabulary.

  A new token's vector is the mean of those of the pieces that its text had
  (Kuratov and Arkhipov, 2019, https://arxiv.org/abs/1905.07213); where it had
  none, the mean of all. So with its bias in the masked LM head.

  Args:
    path: prefix of a TensorFlow checkpoint.
    config_file: its bert_config.json.
    old_file: its vocabulary.
    new_file: the vocabulary to give it.
    do_lower_case: the case of the old one; None: told by its capitals.

  Raises:
    ValueError: the files do not fit each other.
  """
  if is_pytorch(path):
    raise ValueError(f"--new_vocab_file: first convert {path} to TensorFlow")
  old, new = map(tokenization.load_vocab, (old_file, new_file))
  lacking = tokenization.missing_special_tokens(new)
  if lacking:
    raise ValueError(f"{new_file} lacks {', '.join(lacking)}: add them")
  variables, left_out = read_tensorflow(path)
  num_rows = len(variables.get(WORDS, ()))
  if num_rows <= max(old.values()):
    raise ValueError(
      f"{old_file} has {max(old.values()) + 1} tokens, but {path} has"
      f" {num_rows} word vectors: they belong to different models"
    )
  rows = old_rows(old, new, do_lower_case)
  num_tokens = max(new.values()) + 1
  for name in set(BY_TOKEN) & set(variables):
    variables[name] = average_rows(variables[name], rows, num_tokens)
  config = modeling.BertConfig.from_json_file(config_file).to_dict()
  config = {**config, V: num_tokens}
  files = {CHECKPOINT: variables, "bert_config.json": to_json(config)}
  return files, [*report_rows(rows, old, new), left_out]


def old_rows(old: dict, new: dict, do_lower_case=None) -> dict[int, list[int]]:
  """Returns {new id: old ids of the same token, or of its pieces}.

  Args:
    old, new: {token: id}.
    do_lower_case: as the old tokenizer has it; None: told by its capitals.
  """
  if do_lower_case is None:
    do_lower_case = not tokenization.vocab_is_cased(old)
  basic = tokenization.BasicTokenizer(do_lower_case)
  wordpiece = tokenization.WordpieceTokenizer(old)
  rows = {}
  for token, index in new.items():
    pieces = [token]
    if token not in old:
      pieces = _old_pieces(token, basic, wordpiece)
    rows[index] = [old[piece] for piece in pieces]
  return rows


def _old_pieces(token, basic, wordpiece) -> list[str]:
  """Returns the pieces of a token's text, those that are unknown left out."""
  if re.fullmatch(r"\[.+\]", token):  # [unused7] is a name, not a text
    return []
  continues = token.startswith("##") and len(token) > len("##")
  words = basic.tokenize(token[len("##") :] if continues else token)
  pieces = []
  for number, word in enumerate(words):
    pieces += wordpiece.split_word(word, continues and number == 0)
  return [piece for piece in pieces if piece != wordpiece.unk_token]


def average_rows(values: np.ndarray, rows: dict, num_tokens: int) -> np.ndarray:
  """Returns [num_tokens, ...] of the means of rows of `values`.

  Args:
    values: [old tokens, ...], float32.
    rows: {new id: rows to take the mean of}; of all where there are none.
    num_tokens: size of the new vocabulary.
  """
  mean = np.mean(values, axis=0, dtype=np.float64)
  averaged = np.repeat(mean[None], num_tokens, axis=0).astype(np.float32)
  for index, old in rows.items():
    if old:
      averaged[index] = np.mean(values[old], axis=0)
  return averaged


def report_rows(rows: dict, old: dict, new: dict) -> list[str]:
  """Returns lines that count the tokens by where their vectors came from."""
  others = {token: rows[new[token]] for token in new if token not in old}
  sizes = [len(pieces) for pieces in others.values() if pieces]
  none = [token for token, pieces in others.items() if not pieces]
  mean = f", {np.mean(sizes):.1f} each" if sizes else ""
  listed = f" ({', '.join(none[:10])}{', ...' * (len(none) > 10)})"
  return [
    f"vocabulary: {max(old.values()) + 1} -> {max(new.values()) + 1} tokens",
    f"copied: {len(new) - len(others)} tokens",
    f"mean of the pieces so far: {len(sizes)} tokens{mean}",
    f"mean of all, having no piece: {len(none)} tokens{listed if none else ''}",
  ]


def report(parts, missing, unmapped, old_config, config) -> list[str]:
  """Returns lines that say what was mapped and, by name, what was not."""
  counts = ", ".join(f"{part} {parts[part]}" for part in parts)
  lines = [f"mapped: {sum(parts.values())} tensors ({counts})"]
  for problem, names in (("not found", missing), ("not mapped", unmapped)):
    listed = f" ({', '.join(sorted(names))})" if names else ""
    lines.append(f"{problem}: {len(names)}{listed}")
  before, after = old_config["hidden_act"], config["hidden_act"]
  return [*lines, f"hidden_act: {before} -> {after}"]


def to_json(content: dict) -> bytes:
  """Returns the text of a JSON file."""
  return (json.dumps(content, indent=2) + "\n").encode()


def save_checkpoint(prefix: str, variables: dict):
  """Writes arrays as the variables of a TensorFlow checkpoint."""
  names = sorted(variables)
  with tf.Graph().as_default(), tf.Session() as session:
    inputs = [tf.placeholder(variables[name].dtype) for name in names]
    slices = [""] * len(names)  # each variable whole
    save = tf.raw_ops.SaveV2(
      prefix=prefix, tensor_names=names, shape_and_slices=slices, tensors=inputs
    )
    feed = {tensor: variables[name] for tensor, name in zip(inputs, names)}
    session.run(save, feed)


def write_folder(output: str, files: dict, overwrite: bool):
  """Writes {name: bytes, or a checkpoint's variables}, whole or not at all."""
  gfile = tf.io.gfile
  for name in [] if overwrite else files:
    path = os.path.join(output, name)
    if gfile.exists(path) or gfile.exists(path + ".index"):
      raise ValueError(f"{path} exists: change --output or add --overwrite")
  if gfile.exists(output) and not gfile.isdir(output):
    raise ValueError(f"--output={output} is a file, give a folder")
  partial = f"{output.rstrip('/')}.partial-{os.getpid()}"
  try:
    gfile.makedirs(partial)
    for name, content in files.items():
      if name == CHECKPOINT:
        save_checkpoint(os.path.join(partial, name), content)
      else:
        with gfile.GFile(os.path.join(partial, name), "wb") as writer:
          writer.write(content)
    gfile.makedirs(output)
    for name in sorted(gfile.listdir(partial)):
      target = os.path.join(output, name)
      gfile.rename(os.path.join(partial, name), target, overwrite=True)
  finally:
    if gfile.exists(partial):
      gfile.rmtree(partial)


def choose_task(path: str, vocab_file: str):
  """Returns the function that makes the files, by the flags and the input.

  Raises:
    ValueError: flags that contradict each other.
  """
  if FLAGS.new_vocab_file:
    if FLAGS.strip:
      raise ValueError("--new_vocab_file strips as well, omit --strip")
    return functools.partial(
      change_vocabulary,
      old_file=vocab_file,
      new_file=FLAGS.new_vocab_file,
      do_lower_case=FLAGS.do_lower_case,
    )
  task = to_tensorflow if is_pytorch(path) else to_pytorch
  task = strip if FLAGS.strip else task
  if task is not to_pytorch and FLAGS.do_lower_case is not None:
    raise ValueError("--do_lower_case is only noted for PyTorch, omit it here")
  return task


def main(_):
  path = find_input(FLAGS.input)
  beside = os.path.dirname(path)
  name = "config.json" if is_pytorch(path) else "bert_config.json"
  config_file = FLAGS.config_file or os.path.join(beside, name)
  vocab_file = FLAGS.vocab_file or os.path.join(beside, "vocab.txt")
  task = choose_task(path, vocab_file)
  if task is not strip and not tf.io.gfile.exists(config_file):
    raise ValueError(f"{config_file} is missing: name it with --config_file")
  files, lines = task(path, config_file)
  if task is to_pytorch and FLAGS.do_lower_case is not None:
    case = {"do_lower_case": FLAGS.do_lower_case}
    files["tokenizer_config.json"] = to_json(case)
  vocab_file = FLAGS.new_vocab_file or vocab_file
  if FLAGS.vocab_file or tf.io.gfile.exists(vocab_file):
    files["vocab.txt"] = read_bytes(vocab_file)
  else:
    lines.append("no vocab.txt beside the input: name it with --vocab_file")
  write_folder(FLAGS.output, files, FLAGS.overwrite)
  print("\n".join([*lines, f"{path} -> {FLAGS.output}: {', '.join(files)}"]))


if __name__ == "__main__":
  define_flags()
  common_flags.run(main)
