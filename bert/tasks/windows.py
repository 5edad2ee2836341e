# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Makes one answer of the windows of a long text.

In: what the model gives for each window. Out: the same for each text, with its
probabilities and loss.

Shapes: W windows of all texts, N texts, L labels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

_POOLINGS = {"mean": np.add, "max": np.maximum}


def pool(values: np.ndarray, starts: Sequence[int], pooling: str) -> np.ndarray:
  """The mean or the maximum over the windows of each text.

  Args:
    values: float32 [W, ...], the windows of a text in a row.
    starts: [N], the first window of each text.
    pooling: mean or max.

  Returns:
    float32 [N, ...].
  """
  pooled = _POOLINGS[pooling].reduceat(values, starts, axis=0)
  if pooling == "mean":
    counts = np.diff([*starts, len(values)]).astype(np.float32)
    pooled /= counts.reshape([-1] + [1] * (values.ndim - 1))
  return pooled


def predictions(note, logits: np.ndarray) -> dict:
  """What `Classification.layers` gives for these logits.

  Args:
    note: a ClassifierNote.
    logits: float32 [N, L]; [N, 1] for a number.

  Returns:
    `probabilities` [N, L] and `predicted`: [N], or [N, L] of several labels.
  """
  if note.label_type == "number":
    return {"probabilities": logits, "predicted": logits[:, 0]}
  if note.label_type == "single":
    probabilities = np.exp(_log_softmax(logits / note.calibration_temperature))
    return {
      "probabilities": probabilities,
      "predicted": np.argmax(probabilities, axis=-1),
    }
  probabilities = np.exp(-np.logaddexp(0.0, -logits))
  is_given = probabilities >= np.float32(note.thresholds)
  return {
    "probabilities": probabilities,
    "predicted": is_given.astype(np.int32),
  }


def losses(note, logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
  """The losses that evaluation shows, float32 [N].

  Args:
    note: a ClassifierNote.
    logits: float32 [N, L]; [N, 1] for a number.
    labels: int64 [N], or float32 [N, L] of several labels or of labels'
      probabilities; float32 [N] of numbers.
  """
  if note.label_type == "number":
    return np.square(logits[:, 0] - labels)
  if note.label_type == "multi":
    return np.mean(np.logaddexp(0.0, logits) - logits * labels, axis=-1)
  if labels.ndim == 1:
    labels = np.eye(len(note.labels), dtype=np.float32)[labels]
  return -np.sum(labels * _log_softmax(logits), axis=-1)


def _log_softmax(logits):
  shifted = logits - logits.max(axis=-1, keepdims=True)
  return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def of_texts(note, arrays: Mapping, probabilities: Sequence = ()) -> dict:
  """What the model predicts for each text.

  Args:
    note: a ClassifierNote.
    arrays: `logits` [W, L], `label_ids` [W, ...] and `text_index` [W], which
      counts the texts from 0, in input order.
    probabilities: [N, L], of the true labels where they are known so.

  Returns:
    `probabilities`, `predicted`, `per_example_loss` and `label_ids` of N texts.
  """
  _, starts = np.unique(arrays["text_index"], return_index=True)
  logits = pool(arrays["logits"], starts, note.window_pooling)
  labels = arrays["label_ids"][starts]
  targets = np.array(probabilities, np.float32) if probabilities else labels
  return {
    **predictions(note, logits),
    "per_example_loss": losses(note, logits, targets),
    "label_ids": labels,
  }
