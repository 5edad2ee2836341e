# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Whether probabilities mean what they say, and one number that mends them.

In: probabilities of labels, and the true labels. Out: the expected calibration
error, and a temperature (Guo et al. 2017, arXiv:1706.04599).

Shapes: N examples, L labels, M bins.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from absl import logging

BINS = 15  # as in the paper
_SMALLEST = 1e-38  # instead of 0, which has no logarithm
_BOUNDS = (0.05, 20.0)  # of a temperature


@dataclasses.dataclass(frozen=True)
class Reliability:
  """Predictions in bins of equal width, by how sure they are."""

  counts: np.ndarray  # int [M]
  confidence: np.ndarray  # float [M], the mean probability; 0 in an empty bin
  accuracy: np.ndarray  # float [M], the share that is right

  @property
  def error(self) -> float:
    """The expected error, the sum of n_m / N |accuracy - confidence|."""
    gaps = np.abs(self.accuracy - self.confidence)
    return float(gaps @ self.counts / max(self.counts.sum(), 1))


def reliability(confidence, is_right, bins: int = BINS) -> Reliability:
  """Compares how sure predictions are with how often they are right.

  Args:
    confidence: float [N], the probability of what is predicted.
    is_right: bool [N].
    bins: M; bin m holds the confidences over (m - 1) / M, up to m / M.
  """
  confidence = np.asarray(confidence, np.float64)
  places = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
  counts = np.bincount(places, minlength=bins)
  divisors = np.maximum(counts, 1)
  return Reliability(
    counts,
    np.bincount(places, confidence, bins) / divisors,
    np.bincount(places, np.asarray(is_right, float), bins) / divisors,
  )


def divided(probabilities, temperature: float) -> np.ndarray:
  """The probabilities if the logits are divided by a temperature.

  Args:
    probabilities: float [N, L], a softmax of logits.
    temperature: over 1 makes them more even; its inverse undoes that.

  Returns:
    float64 [N, L].
  """
  logits = _logits(probabilities) / temperature
  odds = np.exp(logits - logits.max(axis=1, keepdims=True))
  return odds / odds.sum(axis=1, keepdims=True)


def fit_temperature(probabilities, labels) -> float:
  """The temperature with the lowest mean negative log-likelihood.

  The softmax of the logits divided by it gives the labels the most probability.
  It is one number, so the most probable label stays the same.

  Args:
    probabilities: float [N, L], a softmax of logits.
    labels: int [N].

  Returns:
    From 0.05 to 20; at an end if all predictions are right, or if they say
    nothing of the labels.
  """
  from scipy import optimize

  logits, labels = _logits(probabilities), np.asarray(labels)

  def loss(log_temperature):
    shifted = logits / np.exp(log_temperature)
    shifted -= shifted.max(axis=1, keepdims=True)
    logs = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return -np.mean(logs[np.arange(len(labels)), labels])

  found = optimize.minimize_scalar(
    loss, bounds=np.log(_BOUNDS), method="bounded", options={"xatol": 1e-6}
  )
  return float(np.exp(found.x))


def calibrate(sets: Sequence[dict]) -> float:
  """Fits the temperature to the first evaluated set, and says so in the log.

  Args:
    sets: of each, `probabilities` [N, L], which are divided, and `label_ids`
      [N].

  Returns:
    The temperature; 1, with a warning, if none fits.
  """
  labels = sets[0]["label_ids"]
  temperature = fit_temperature(sets[0]["probabilities"], labels)
  if np.isclose(temperature, _BOUNDS, rtol=0.01).any():
    logging.warning(
      f"--calibrate: no temperature fits these {len(labels)} texts, because all"
      " of them are predicted right, or because the probabilities say nothing"
      " of the labels: probabilities stay as they are"
    )
    return 1.0
  errors = [expected_error(sets[0]["probabilities"], labels)]
  for each in sets:
    each["probabilities"] = divided(each["probabilities"], temperature)
  errors.append(expected_error(sets[0]["probabilities"], labels))
  logging.info(
    f"--calibrate: the temperature {temperature:.4g} changes the expected"
    f" calibration error from {errors[0]:.4f} to {errors[1]:.4f}, on the texts"
    " that it was fitted to"
  )
  return temperature


def expected_error(probabilities, labels) -> float:
  """The expected calibration error of probabilities [N, L] and labels [N]."""
  probabilities = np.asarray(probabilities)
  is_right = probabilities.argmax(axis=1) == np.asarray(labels)
  return reliability(probabilities.max(axis=1), is_right).error


def _logits(probabilities):
  """Logits that give the probabilities; they differ by a number in each row."""
  given = np.asarray(probabilities, np.float64)
  return np.log(np.maximum(given, _SMALLEST))
