# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Converts BERT checkpoints between PyTorch (Hugging Face) and TensorFlow.

In: a .safetensors file, a Hugging Face folder or a TensorFlow checkpoint.
Out: a folder with the model in the other format: weights, configuration and
vocabulary. Or a TensorFlow checkpoint without the optimiser's state (--strip),
or with another vocabulary (--new_vocab_file) or fewer layers (--layers), to
continue training from.
"""

from __future__ import annotations

import dataclasses

from bert.training import entry, flags


@dataclasses.dataclass(frozen=True)
class Options(flags.Options):
  """This script's flags."""

  input: str | None = flags.flag(
    None,
    "A Hugging Face folder or .safetensors file, to convert to TensorFlow; or a"
    " TensorFlow checkpoint, as a folder or prefix, to convert to PyTorch.",
    required=True,
    reads=True,
  )
  output: str | None = flags.flag(
    None,
    "The folder to write.",
    required=True,
    writes="folder",
  )
  strip: bool = flags.flag(
    False, "Only drop the optimiser's state from a TensorFlow checkpoint."
  )
  layers: tuple = flags.flag(
    (),
    "Keep only these layers of a TensorFlow checkpoint, such as 0,5 for the"
    " first and the sixth: a smaller model to train on, for example towards the"
    " predictions of the whole one. Drops the optimiser's state too.",
  )
  new_vocab_file: str | None = flags.flag(
    None,
    "Give a TensorFlow checkpoint this vocabulary. Old tokens keep their"
    " vectors; a new token gets the mean of the vectors of its old pieces.",
    reads=True,
  )
  config_file: str | None = flags.flag(
    None,
    "The configuration. Default: the one beside the input.",
    reads=True,
  )
  vocab_file: str | None = flags.flag(
    None,
    "The vocabulary. Default: the one beside the input.",
    reads=True,
  )
  do_lower_case: bool | None = flags.flag(
    None,
    "Converting to PyTorch: whether the model is uncased, which is written to"
    " the output. With --new_vocab_file: whether the old vocabulary is uncased;"
    " by default, that depends on whether it has capitals.",
  )
  overwrite: bool = flags.flag(False, "Replace existing files in --output.")


if __name__ == "__main__":
  entry.parse(Options)  # --help ends here, before the slow imports

import collections
import functools
import json
import os
import re
from collections.abc import Sequence

import numpy as np
import safetensors
import safetensors.numpy
import tensorflow.compat.v1 as tf

import modeling
import tokenization
from bert.files import reading, writing
from bert.training import checkpoints
from bert.training.vocabularies import average_rows, old_rows, report_rows

# The sizes of the tensors, by their names in the configuration.
V, T, P = "vocab_size", "type_vocab_size", "max_position_embeddings"
D, F, LABELS = "hidden_size", "intermediate_size", "num_labels"

# The tensors of a module: how their names end in PyTorch and in TensorFlow, and
# which axes of the module's shape they have. PyTorch transposes kernels.
TABLE = (("weight", "", slice(0, 2)),)
DENSE = (("weight", "/kernel", slice(0, 2)), ("bias", "/bias", slice(1, 2)))
NORM = (("weight", "/gamma", slice(0, 1)), ("bias", "/beta", slice(0, 1)))
BIAS = (("bias", "output_bias", slice(0, 1)),)
HEAD = (("weight", "output_weights", slice(0, 2)), *BIAS)

# {(part, PyTorch prefix, TensorFlow prefix): modules, each with its name in
# PyTorch and in TensorFlow, its shape in TensorFlow and its tensors}; {} is the
# number of the layer.
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
OPTIMISER_STATE = (
  r"(?i)(^|/)(global_step$|beta[12]_power|adam|lamb|adafactor_|loss_scale/)"
)
ARCHITECTURES = {  # Hugging Face's class for these parts
  ("masked LM", "next sentence"): "BertForPreTraining",
  ("masked LM",): "BertForMaskedLM",
  ("next sentence",): "BertForNextSentencePrediction",
  ("SQuAD",): "BertForQuestionAnswering",
  ("classifier",): "BertForSequenceClassification",
  (): "BertModel",
}
ONLY_VALUES = {  # the values of a Hugging Face configuration that we support
  "model_type": "bert",
  "layer_norm_eps": 1e-12,
  "position_embedding_type": "absolute",
  "is_decoder": False,
}
ACTIVATIONS = {  # Hugging Face's name: ours, written as its last name here
  "gelu": "gelu_erf",
  "gelu_pytorch_tanh": "gelu",
  "gelu_new": "gelu",
  "relu": "relu",
  "tanh": "tanh",
  "linear": "linear",
}
FLOATS = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}
BUFFERS = ("position_ids", "token_type_ids")  # of ids, in PyTorch
CHECKPOINT = "bert_model.ckpt"
WORDS = "bert/embeddings/word_embeddings"
# The variables that have a row for each token.
BY_TOKEN = (WORDS, "cls/predictions/output_bias")


# ------------------------------------------------------------------- input


def is_pytorch(path: str) -> bool:
  """Whether a path is a safetensors file or index, not TensorFlow's prefix."""
  return path.endswith((".safetensors", ".safetensors.index.json"))


def find_input(path: str) -> str:
  """Returns the safetensors file, index or TensorFlow prefix that is meant."""
  path = re.sub(r"\.(index|data-\d+-of-\d+)$", "", path.rstrip("/"))
  if tf.io.gfile.isdir(path):
    return _find_in_folder(path)
  exists = tf.io.gfile.exists(path)
  if tf.io.gfile.exists(path + ".index") or (exists and is_pytorch(path)):
    return path
  if exists:
    _refuse_pickle(path)
  raise ValueError(f"--input={path} is not a checkpoint or a folder with one")


def _find_in_folder(folder: str) -> str:
  names = sorted(tf.io.gfile.listdir(folder))  # a whole model before its shards
  found = [n for n in names if n.startswith("model.") and is_pytorch(n)][:1]
  latest = checkpoints.newest(folder)
  prefixes = [name[:-6] for name in names if name.endswith(".index")]
  found += [os.path.basename(latest)] if latest else prefixes
  if len(found) == 1:
    return os.path.join(folder, found[0])
  if found:
    raise ValueError(
      f"--input={folder} has several checkpoints: add {' or '.join(found)}"
    )
  for name in names:
    if name.startswith("pytorch_model"):
      _refuse_pickle(os.path.join(folder, name))
  raise ValueError(f"--input={folder} has no model.safetensors and no *.index")


def _refuse_pickle(path: str):
  if path.endswith((".bin", ".pt", ".pth")):
    raise ValueError(
      f"{path} is a pickle, which can run code when it is loaded: first, in "
      "PyTorch, run safetensors.torch.save_file({k: v.contiguous().clone() for "
      f'k, v in torch.load("{path}", weights_only=True).items()}}, '
      '"model.safetensors")'
    )


def load_safetensors(path: str) -> dict[str, np.ndarray]:
  """Returns the weights in a file as float32, without the buffers of ids."""
  try:
    entries = safetensors.deserialize(reading.read_bytes(path))
  except safetensors.SafetensorError as error:
    raise ValueError(
      f"{path} is not a complete safetensors file: {error}"
    ) from error
  weights = {}
  for name, tensor in entries:
    if name.endswith(BUFFERS):
      continue
    if tensor["dtype"] not in FLOATS:
      raise ValueError(f"{path}: {name} is {tensor['dtype']}, not a float")
    weight = np.frombuffer(tensor["data"], FLOATS[tensor["dtype"]])
    if tensor["dtype"] == "BF16":  # the upper half of a float32
      weight = (weight.astype("<u4") << 16).view("<f4")
    weights[name] = weight.astype(np.float32).reshape(tensor["shape"])
    check_finite(weights[name], name, path)
  return weights


def check_finite(weight: np.ndarray, name: str, path: str) -> None:
  """Raises ValueError if a tensor has NaN or infinite numbers."""
  is_float = np.issubdtype(weight.dtype, np.floating)
  if is_float and not np.isfinite(weight).all():
    raise ValueError(
      f"{path}: {name} has NaN or infinite numbers: the weights are damaged"
    )


def read_shards(path: str) -> dict[str, list[str]]:
  """Returns {file: its tensors} of a model.safetensors.index.json.

  Raises:
    ValueError: it is not such an index, or names a file elsewhere.
  """
  index = reading.read_json(path, {"weight_map": {str: str}}, "index")
  shards = collections.defaultdict(list)
  for name, shard in index["weight_map"].items():
    if not re.fullmatch(r"[^/\\\0]+\.safetensors", shard):
      raise ValueError(
        f"{path}: {name} is in {shard!r}, but has to be in a .safetensors file"
        " beside the index"
      )
    shards[shard].append(name)
  if not shards:
    raise ValueError(f"{path}: 'weight_map' is empty")
  return dict(sorted(shards.items()))


def load_shards(path: str) -> dict[str, np.ndarray]:
  """Returns the weights in the files of an index.

  Raises:
    ValueError: the files do not hold what the index says.
  """
  loaded = {}
  for shard, names in read_shards(path).items():
    file = os.path.join(os.path.dirname(path), shard)
    weights = load_safetensors(file)
    missing = [name for name in names if name not in weights]
    if missing and not missing[0].endswith(BUFFERS):
      raise ValueError(f"{path}: {missing[0]} is not in {file}")
    for name in weights:
      if name in loaded:
        raise ValueError(f"{path}: {name} is in two files, {file} and another")
    loaded.update(weights)
  return loaded


def read_pytorch(path: str) -> dict[str, np.ndarray]:
  """Returns the weights of a safetensors file or index, named as in NAME_MAP.

  Names from early checkpoints and names without "bert." are changed to those of
  NAME_MAP; unknown names stay. One of two tied weights is kept.

  Raises:
    ValueError: two tied weights differ, or a file is damaged.
  """
  load = load_shards if path.endswith(".json") else load_safetensors
  loaded, weights = load(path), {}
  for old, weight in sorted(loaded.items()):
    name = re.sub(r"^(?=(embeddings|encoder|pooler)\.)", "bert.", old)
    name = name.replace("LayerNorm.gamma", "LayerNorm.weight")
    name = name.replace("LayerNorm.beta", "LayerNorm.bias")
    name = TIED.get(name, name)
    first = weights.setdefault(name, weight)
    if not np.array_equal(first, weight):
      raise ValueError(
        f"{path}: {old} differs from {name}, but they must be equal"
      )
  return weights


def read_tensorflow(prefix: str):
  """Returns {variable: array}, and a line about what was left out."""
  for file in (prefix + ".index", *tf.io.gfile.glob(prefix + ".data-*")):
    reading.check_regular(file)
  try:
    reader = tf.train.load_checkpoint(prefix)
    names = sorted(reader.get_variable_to_shape_map())
    state = [name for name in names if re.search(OPTIMISER_STATE, name)]
    variables = {n: reader.get_tensor(n) for n in names if n not in state}
  except (tf.errors.OpError, IndexError, RuntimeError) as error:
    raise ValueError(f"{prefix} cannot be read: {error}") from error
  for name, variable in variables.items():
    check_finite(variable, name, prefix)
  left_out = f"left out: {len(state)} variables of the optimiser and the step"
  return variables, left_out


# ------------------------------------------------------------------ weights


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
    weights: {name: array}; weights that are mapped are removed.
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
        f"{source} has the shape {weight.shape}, but {wanted} by the"
        " configuration"
      )
    weight = weight.T if is_kernel else weight
    renamed[target] = np.ascontiguousarray(weight, np.float32)
    parts[part] += 1
  _check_encoder(renamed, weights, missing, config["num_hidden_layers"])
  return renamed, parts, [name for part, name in missing if part in parts]


def _check_encoder(renamed, unmapped, missing, num_layers):
  if not renamed:
    names = ", ".join(sorted(unmapped)[:3])
    raise ValueError(f"the input has no BERT weights; it has {names}")
  for part, name in missing:
    if part == "encoder":
      raise ValueError(
        f"the input lacks {name}, but num_hidden_layers is {num_layers}"
      )
  for name in sorted(unmapped):
    layer = re.match(r"bert.encoder.layer.(\d+)", name)
    if layer and int(layer[1]) >= num_layers:
      raise ValueError(
        f"the input has {name}, but num_hidden_layers is {num_layers}"
      )


# ------------------------------------------------------------ configuration


def to_bert_config(config: dict, file: str) -> dict:
  """Returns bert_config.json for a Hugging Face config.json.

  Raises:
    ValueError: our graph can't compute the model.
  """
  for key, only in ONLY_VALUES.items():
    if config.get(key, only) != only:
      raise ValueError(
        f"{file}: {key} is {config[key]}, but only {only} is supported"
      )
  known = (*vars(modeling.BertConfig(vocab_size=None)), "id2label", "label2id")
  ours = {key: config[key] for key in known if key in config}
  return {**ours, "hidden_act": _map_activation(ours, ACTIVATIONS, file)}


def to_hugging_face_config(config: dict, file: str) -> dict:
  """Returns config.json for a bert_config.json.

  Raises:
    ValueError: it is not one, or has an activation that is not supported.
  """
  if "model_type" in config:
    raise ValueError(f"{file} is from Hugging Face, not a bert_config.json")
  names = {ours: theirs for theirs, ours in ACTIVATIONS.items()}
  activation = _map_activation(config, names, file)
  return {**ONLY_VALUES, **config, "hidden_act": activation}


def _map_activation(config: dict, names: dict, file: str) -> str:
  name = (config["hidden_act"] or "linear").lower()
  if name not in names:
    known = ", ".join(names)
    raise ValueError(f"{file}: hidden_act is {name}: give one of {known}")
  return names[name]


# ------------------------------------------------------------- conversions


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
  if not heads:  # in a BertModel without heads, names have no prefix
    weights = {name[len("bert.") :]: weights[name] for name in weights}
  content = safetensors.numpy.save(weights, {"format": "pt"})
  files = {"model.safetensors": content, "config.json": to_json(config)}
  return files, [*report(parts, missing, variables, ours, config), left_out]


def strip(path: str, config_file: str):
  """Returns ({file: content}, [lines to show]) with the model's variables."""
  if is_pytorch(path):
    raise ValueError(f"--strip is for TensorFlow checkpoints, not for {path}")
  variables, left_out = read_tensorflow(path)
  if not variables:
    raise ValueError(f"{path} holds only the optimiser's state")
  files = {CHECKPOINT: variables}
  if tf.io.gfile.exists(config_file):
    files["bert_config.json"] = reading.read_bytes(config_file)
  return files, [f"kept: {len(variables)} variables", left_out]


def keep_layers(path: str, config_file: str, numbers: Sequence[str]):
  """Returns ({file: content}, [lines to show]) with some of the layers.

  Args:
    path: prefix of a TensorFlow checkpoint.
    config_file: its bert_config.json.
    numbers: of the layers to keep, from 0, in their new order.

  Raises:
    ValueError: the model has no such layer, or one is named twice.
  """
  if is_pytorch(path):
    raise ValueError(f"--layers: first convert {path} to TensorFlow")
  config = modeling.BertConfig.from_json_file(config_file).to_dict()
  size = config["num_hidden_layers"]
  for text in numbers:
    if not re.fullmatch(r"\s*\d{1,9}\s*", text) or int(text) >= size:
      raise ValueError(
        f"--layers: there is no layer {text!r} in {config_file}, which has"
        f" {size}: give numbers from 0 to {size - 1}"
      )
  kept = [int(text) for text in numbers]
  if len(set(kept)) < len(kept):
    raise ValueError(f"--layers={','.join(numbers)} names a layer twice")
  all_variables, left_out = read_tensorflow(path)
  variables = {}
  for name, variable in all_variables.items():
    layer = re.match(r"bert/encoder/layer_(\d+)(/.*)", name)
    if layer and int(layer[1]) not in kept:
      continue
    if layer:
      name = f"bert/encoder/layer_{kept.index(int(layer[1]))}{layer[2]}"
    variables[name] = variable
  files = {
    CHECKPOINT: variables,
    "bert_config.json": to_json({**config, "num_hidden_layers": len(kept)}),
  }
  return files, [f"layers: {size} -> {len(kept)}", left_out]


def change_vocabulary(
  path: str, config_file: str, old_file: str, new_file: str, do_lower_case=None
):
  """Returns ({file: content}, [lines to show]) for another vocabulary.

  A new token gets the mean of the vectors of its pieces in the old vocabulary
  (Kuratov and Arkhipov, 2019, https://arxiv.org/abs/1905.07213), or the mean of
  all vectors if it has no piece there; and likewise its bias in the masked LM
  head.

  Args:
    path: prefix of a TensorFlow checkpoint.
    config_file: its bert_config.json.
    old_file: its vocabulary.
    new_file: the vocabulary to give it.
    do_lower_case: the case of the old vocabulary; None: judged by its capitals.

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


def report(parts, missing, unmapped, old_config, config) -> list[str]:
  """Returns lines that count what was mapped, and name what was not."""
  counts = ", ".join(f"{part} {parts[part]}" for part in parts)
  lines = [f"mapped: {sum(parts.values())} tensors ({counts})"]
  for problem, names in (("not found", missing), ("not mapped", unmapped)):
    listed = f" ({', '.join(sorted(names))})" if names else ""
    lines.append(f"{problem}: {len(names)}{listed}")
  before, after = old_config["hidden_act"], config["hidden_act"]
  return [*lines, f"hidden_act: {before} -> {after}"]


# ------------------------------------------------------------------ output


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
  """Writes all files, {name: bytes or a checkpoint's variables}, or none."""
  gfile = tf.io.gfile
  for name in files:
    path = os.path.join(output, name)
    for target in (path, path + ".index"):
      writing.check_target(target)
    if overwrite:
      continue
    if gfile.exists(path) or gfile.exists(path + ".index"):
      raise ValueError(f"{path} exists: change --output or add --overwrite")
  if gfile.exists(output) and not gfile.isdir(output):
    raise ValueError(f"--output={output} is a file: give a folder")
  with writing.scratch_folder(os.path.join(output, ".partial")) as partial:
    for name, content in files.items():
      if name == CHECKPOINT:
        save_checkpoint(os.path.join(partial, name), content)
      else:
        with gfile.GFile(os.path.join(partial, name), "wb") as writer:
          writer.write(content)
    for name in sorted(gfile.listdir(partial)):
      target = os.path.join(output, name)
      gfile.rename(os.path.join(partial, name), target, overwrite=True)


# -------------------------------------------------------------------- main


def choose_conversion(options: Options, path: str, vocab_file: str):
  """Returns the function that makes the files.

  Args:
    options: of the script.
    path: of `find_input`.
    vocab_file: the vocabulary of the input.

  Raises:
    ValueError: options contradict each other.
  """
  if "layers" in options.given and not options.layers:
    raise ValueError("--layers is empty: give numbers, such as 0,5")
  if options.layers:
    if options.strip or options.new_vocab_file:
      raise ValueError(
        "--layers also does what --strip does, and can't be combined with"
        " --new_vocab_file: omit them, or convert once more"
      )
    return functools.partial(keep_layers, numbers=options.layers)
  if options.new_vocab_file:
    if options.strip:
      raise ValueError("--new_vocab_file also does what --strip does: omit it")
    return functools.partial(
      change_vocabulary,
      old_file=vocab_file,
      new_file=options.new_vocab_file,
      do_lower_case=options.do_lower_case,
    )
  convert = to_tensorflow if is_pytorch(path) else to_pytorch
  convert = strip if options.strip else convert
  if convert is not to_pytorch and options.do_lower_case is not None:
    raise ValueError("--do_lower_case is only noted for PyTorch: omit it here")
  return convert


def main(options: Options) -> None:
  path = find_input(options.input)
  beside = os.path.dirname(path)
  name = "config.json" if is_pytorch(path) else "bert_config.json"
  config_file = options.config_file or os.path.join(beside, name)
  vocab_file = options.vocab_file or os.path.join(beside, "vocab.txt")
  convert = choose_conversion(options, path, vocab_file)
  if convert is not strip and not tf.io.gfile.exists(config_file):
    raise ValueError(f"{config_file} is missing: name it with --config_file")
  files, lines = convert(path, config_file)
  if convert is to_pytorch and options.do_lower_case is not None:
    case = {"do_lower_case": options.do_lower_case}
    files["tokenizer_config.json"] = to_json(case)
  vocab_file = options.new_vocab_file or vocab_file
  if options.vocab_file or tf.io.gfile.exists(vocab_file):
    files["vocab.txt"] = reading.read_bytes(vocab_file)
  else:
    lines.append("no vocab.txt beside the input: name it with --vocab_file")
  write_folder(options.output, files, options.overwrite)
  print("\n".join([*lines, f"{path} -> {options.output}: {', '.join(files)}"]))


if __name__ == "__main__":
  entry.run(main, Options)
