# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Curves of a training: loss, learning rate, speed and scores over its steps.

In: the event files that training writes for TensorBoard. Out: a picture.
"""

from __future__ import annotations

import logging as python_logging
import os
import re
from collections.abc import Mapping

import tensorflow.compat.v1 as tf

from bert.reports import drawing, page

_EVENTS = "*tfevents*"
# Not scores of the model.
_NO_CURVE = re.compile(r"(^|/)(epoch|global_step)$|total$|threshold$")
_FIRST = ("loss", "learning rate", "examples per second")
_COLUMNS, _MOST = 3, 15


def read(folder: str) -> dict[str, list[tuple[int, float]]]:
  """The curves of a run, {name: (step, value) pairs}.

  What a killed run recorded before it resumed at an earlier step is left out,
  as in TensorBoard. A damaged file gives what stands before the damage.

  Args:
    folder: output folder of a run_ script.
  """
  from tensorboard.backend.event_processing import event_accumulator as events

  python_logging.getLogger("tensorboard").setLevel(python_logging.ERROR)
  curves = {}
  for place in (folder, os.path.join(folder, "eval")):
    if not tf.io.gfile.glob(os.path.join(place, _EVENTS)):
      continue
    everything = {events.SCALARS: 0, events.TENSORS: 0}
    found = events.EventAccumulator(place, size_guidance=everything)
    found.Reload()
    for tag in found.Tags()[events.SCALARS]:
      pairs = [(event.step, event.value) for event in found.Scalars(tag)]
      curves[tag] = sorted(dict(pairs).items())
    for tag in found.Tags()[events.TENSORS]:  # of a TPU
      pairs = [
        (event.step, float(tf.make_ndarray(event.tensor_proto)))
        for event in found.Tensors(tag)
      ]
      curves[tag] = sorted(dict(pairs).items())
  return curves


def panels_of(curves: Mapping) -> dict[str, dict]:
  """What is drawn together, {title: {name: (steps, values)}}: the losses of
  training and evaluation, and each other curve alone."""
  panels = {}
  for tag, pairs in curves.items():
    if _NO_CURVE.search(tag) or not pairs:
      continue
    if tag == "loss" and "eval_loss" in curves:
      continue  # the same as a mean over batches
    name = "loss" if tag == "eval_loss" else tag.removeprefix("train/")
    kind = "training" if tag.startswith("train/") else "evaluation"
    panels.setdefault(name.replace("_", " "), {})[kind] = tuple(zip(*pairs))
  return panels


def sections(folder: str) -> list[page.Section]:
  """The curves of a folder, or a word that there are none."""
  panels = panels_of(read(folder))
  if not panels:
    return [
      page.Section(
        "Curves",
        f"There are no curves: {folder} holds no event files of a training.",
        is_missing=True,
      )
    ]
  titles = dict.fromkeys([*_FIRST, *panels])
  shown = [title for title in titles if title in panels][:_MOST]
  columns = min(_COLUMNS, len(shown))
  rows = -(-len(shown) // columns)

  def paint(axes):
    axes = axes if isinstance(axes, list) else [axes]
    for each in axes[len(shown) :]:
      each.set_visible(False)
    for each, title in zip(axes, shown):
      # A point alone would not be seen as a line.
      few = max(len(x) for x, _ in panels[title].values()) <= 30
      marker = "o" if few else None
      drawing.lines(each, panels[title], "step", marker=marker)
      each.set_title(drawing.words(title), loc="left")

  picture = drawing.svg(
    paint,
    f"Curves over training steps: {', '.join(shown)}",
    size=(3.3 * columns, 2.3 * rows),
    grid=(rows, columns),
  )
  text = (
    "Training shows means since the last report (--log_steps), evaluation what"
    " --eval_steps found."
  )
  return [page.Section("Curves", text, [picture])]
