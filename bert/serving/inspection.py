# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""How a model reads a row: its tokens, and which of them look at which.

In: a row as `Predictor.prepare` takes it. Out: what the first of its windows
holds, or the attention between the tokens of that window in a layer and a head.

Shapes: B batch, N heads, S sequence.
"""

from __future__ import annotations

import threading

import numpy as np
import tensorflow.compat.v1 as tf

from bert.files import reading
from bert.training import trained_model

_DIGITS = 6  # of each weight, or a long text's would be megabytes more
_SOFTMAX = "bert/encoder/layer_{}/attention/self/Softmax:0"


def tokens(predictor: trained_model.Predictor, row) -> dict:
  """The tokens of a row's first window.

  Returns:
    {"tokens": [S] strings, "ids": [S], "segment_ids": [S]}.

  Raises:
    ValueError: the row is not what the model takes; the message says why.
  """
  windows, _ = predictor.prepare(row)
  return _window_tokens(_first(windows), predictor.tokenizer)


def _first(windows):
  if not windows:
    raise ValueError("the row has no token: give it a text")
  return windows[0]


def _window_tokens(window, tokenizer):
  ids = [int(index) for index in window["input_ids"]]
  return {
    "tokens": tokenizer.convert_ids_to_tokens(ids),
    "ids": ids,
    "segment_ids": [int(segment) for segment in window["segment_ids"]],
  }


class Attention:
  """The attention of a model, in float32.

  Its graph is made when it is first asked, because the weights take as much
  memory again as those of a Predictor. Threads may share it.

  Args:
    model: of `trained_model.find_model`.
  """

  def __init__(self, model: trained_model.TrainedModel):
    self._model = model
    self._lock = threading.Lock()
    self._session, self._inputs = None, {}

  def weights(self, row, layer: int, head: int) -> dict:
    """The attention probabilities of one layer and head (arXiv:1706.03762).

    Args:
      row: as the model takes it; its first window is read.
      layer: from 0.
      head: from 0.

    Returns:
      {"tokens": [S] strings, "weights": [S][S] floats}. Row i says how much
      token i takes from each token; it sums to 1, but for rounding.

    Raises:
      ValueError: the model has no such layer or head, or the row is not what
        it takes.
    """
    config, tokenizer = self._model.config, self._model.tokenizer
    _check_number("layer", layer, config.num_hidden_layers)
    _check_number("head", head, config.num_attention_heads)
    windows, _ = trained_model.prepare(self._model.task, row, tokenizer)
    window = _first(windows)
    found = self._probabilities(window, layer)[head]
    return {
      "tokens": _window_tokens(window, tokenizer)["tokens"],
      "weights": np.round(found.astype(np.float64), _DIGITS).tolist(),
    }

  def _probabilities(self, window, layer):
    """float32 [N, S, S]."""
    with self._lock:
      if self._session is None:
        self._build()
    arrays = trained_model.padded([window])
    feed = {self._inputs[name]: arrays[name] for name in self._inputs}
    return self._session.run(_SOFTMAX.format(layer), feed)[0]

  def _build(self):
    """Makes the encoder alone, in TensorFlow's own ops."""
    model, graph = self._model, tf.Graph()
    with graph.as_default():
      inputs = trained_model.placeholders(model.task)
      features = model.task.features_of(inputs)
      model.task.encode(model.config, features, last_positions=None)
      session = tf.Session(graph=graph)
      trained_model.load_weights(session, model)
    graph.finalize()
    self._session, self._inputs = session, inputs


def _check_number(name, number, count):
  """Raises ValueError unless it counts one of `count` things from 0."""
  if type(number) is not int or not 0 <= number < count:
    raise ValueError(
      f"{name!r} has to be a whole number from 0 to {count - 1}, not"
      f" {reading.shown(number)}"
    )
