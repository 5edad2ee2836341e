# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""The models of a server, each under the name of its folder.

In: folders of trained models, and perhaps a file of responses. Out: for each
folder what prepares rows, computes them and answers.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping, Sequence

import numpy as np
from absl import logging

from bert.files import reading
from bert.serving import response_base
from bert.training import trained_model

_MOST_ANSWERS = 100  # that a row can ask for
_TOP_K = 5  # answers, where a row does not say how many


class Served:
  """A trained model as a server uses it.

  Attributes:
    name: in the server's paths.
    model: the TrainedModel.
    predictor: that computes it.

  Args:
    precision: float32 or bfloat16.
    batch_size: windows to compute at once.
  """

  num_responses = 0

  def __init__(self, name: str, model, precision: str, batch_size: int):
    self.name, self.model = name, model
    self._batch_size = batch_size
    self.predictor = trained_model.Predictor(model, precision)

  @property
  def example(self) -> dict:
    """A row as the model takes it."""
    return self.predictor.example

  def prepare(self, row) -> tuple[list[dict], object]:
    """A row's windows, and what `answer` needs; see `Predictor.prepare`."""
    return self.predictor.prepare(row)

  def is_short(self, row) -> bool:
    """Whether a row of few characters also has few windows."""
    return not (isinstance(row, dict) and "score" in row)  # one for each token

  def run(self, windows: Sequence[Mapping]) -> list[dict]:
    """What the model returns for each window."""
    return self.predictor.run(windows, self._batch_size)

  def answer(self, kept, outputs: Sequence[Mapping]) -> dict:
    """The answer to a row; see `Predictor.answer`."""
    return self.predictor.answer(kept, outputs)

  def warm_up(self) -> None:
    """Computes an example: the first computation takes longer."""
    row = {
      name: value.replace("...", "?") if isinstance(value, str) else value
      for name, value in self.example.items()
    }
    with contextlib.suppress(ValueError):  # it is no row for this task
      windows, kept = self.prepare(row)
      self.answer(kept, self.run(windows))

  def about(self) -> dict:
    """What users want to know of the model, for JSON."""
    config, note = self.model.config, self.model.task.note
    return {
      "name": self.name,
      "task": self.model.task.name,
      "labels": list(getattr(note, "labels", ())),
      "example": self.example,
      "max_seq_length": note.max_seq_length,
      "num_layers": config.num_hidden_layers,
      "num_heads": config.num_attention_heads,
      "responses": self.num_responses,
      "state": "AVAILABLE",
    }


class ServedResponses(Served):
  """A representation model whose answers are responses of a file."""

  def __init__(self, name, model, precision, batch_size, response_file):
    super().__init__(name, model, precision, batch_size)
    self._responses = response_base.read_responses(response_file)
    self.num_responses = len(self._responses)
    self._most = min(_MOST_ANSWERS, self.num_responses)
    self._find = response_base.response_search(
      response_base.SearchOptions(response_file, precision=precision),
      self._responses,
      model,
      self.predictor,
      self._most,
    )

  def prepare(self, row):
    """The window of a question; how many answers it wants is kept."""
    windows, _ = super().prepare(row)
    count = row.get("top_k", _TOP_K)
    if type(count) is not int or not 1 <= count <= _MOST_ANSWERS:
      raise ValueError(
        f"'top_k' has to be a whole number from 1 to {_MOST_ANSWERS}, not"
        f" {reading.shown(count)}"
      )
    return windows, count

  def run(self, windows):
    """The nearest responses to each question."""
    vectors = np.stack([output["vectors"] for output in super().run(windows)])
    products, places = self._find(vectors, self._most)
    return [
      {"scores": scores, "places": found}
      for scores, found in zip(products, places)
    ]

  def answer(self, kept, outputs):
    """{"answers": a list of {"text", "score"}, the best first}."""
    (output,) = outputs
    found = zip(output["places"].tolist(), output["scores"].tolist())
    answers = [
      {"text": self._responses[place], "score": score}
      for place, score in found
      if place >= 0  # FAISS fills up with -1
    ]
    return {"answers": answers[:kept]}


# ---------------------------------------------------------------- loading


def names_of(folders: Sequence[str]) -> list[str]:
  """The names of models: of each folder its last part, or the one above `best`.

  Raises:
    ValueError: two are equal, or a name can't stand in a path.
  """
  names = {}
  for folder in folders:
    path = folder if "://" in folder else os.path.abspath(folder)
    parts = [part for part in path.split("/") if part]
    if parts[-1:] == ["best"] and len(parts) > 1:
      parts.pop()
    name = parts[-1] if parts else ""
    if not name or ":" in name:
      raise ValueError(
        f"--model_dir={folder}: a model is named after its folder, which"
        f" {name!r} is no name for: rename it, without a colon"
      )
    if name in names:
      raise ValueError(
        f"--model_dir={names[name]},{folder}: both models would be named"
        f" {name!r} after their folders: rename one, or link to it"
      )
    names[name] = folder
  return list(names)


def load(
  folders: Sequence[str],
  *,
  checkpoint: str | None = None,
  task_file: str | None = None,
  precision: str = "float32",
  batch_size: int = 64,
  response_file: str | None = None,
) -> dict[str, Served]:
  """Loads trained models.

  Args:
    folders: of `trained_model.find_model`.
    checkpoint: of the only folder, or None.
    task_file: Python file that defines tasks of the user's own, or None.
    precision: float32 or bfloat16.
    batch_size: windows to compute at once.
    response_file: responses that the one representation model searches.

  Returns:
    {name: Served}.

  Raises:
    ValueError: a folder holds no trained model, or the arguments do not fit.
  """
  names = names_of(folders)
  found = {
    name: trained_model.find_model(folder, checkpoint, task_file)
    for name, folder in zip(names, folders)
  }
  searched = [
    name
    for name, model in found.items()
    if response_base.kind_of(model) == "representation"
  ]
  if response_file and len(searched) != 1:
    raise ValueError(
      f"--response_file={response_file} needs one --model_dir of run_ranker.py"
      f" --model=representation, not {len(searched)}"
    )
  models = {}
  for name, model in found.items():
    if response_file and name in searched:
      models[name] = ServedResponses(
        name, model, precision, batch_size, response_file
      )
    else:
      models[name] = Served(name, model, precision, batch_size)
    models[name].warm_up()
    logging.info(
      f"{name}: {model.task.name} with {model.checkpoint}; a row is such as"
      f" {json.dumps(models[name].example)}"
    )
  return models
