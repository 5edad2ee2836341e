# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Shows the progress of training, evaluation and prediction.

In: the scalars of a training step, and scores. Out: a progress bar on a
terminal, lines in the log, and curves for TensorBoard.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np
import tensorflow.compat.v1 as tf
from absl import logging
from tqdm import tqdm

from bert.files import clock
from bert.training import checkpoints

_SECONDS_BETWEEN_LINES = 20  # of prediction progress
_TIMES = 100  # steps of each size whose seconds are kept
_PROGRESS = "progress"  # graph collection: the scalars to show


def show_progress(name: str, scalar: tf.Tensor) -> None:
  """Makes `ProgressHook` show a scalar that is equal on all replicas.

  Two are not shown, but used: `steps_taken`, with the step that runs; and
  `batch_elements`, which is the same for batches of the same shape.
  """
  name = f"{_PROGRESS}/{name}"
  if any(shown.op.name == name for shown in tf.get_collection(_PROGRESS)):
    return  # another replica added it
  with tf.name_scope(None):
    tf.add_to_collection(_PROGRESS, tf.identity(scalar, name=name))


def shown() -> dict[str, tf.Tensor]:
  """{name: scalar} of what `show_progress` was given."""
  return {
    tensor.op.name.split("/")[-1]: tensor
    for tensor in tf.get_collection(_PROGRESS)
  }


class ProgressHook(tf.train.SessionRunHook):
  """Shows training progress: a bar on a terminal, log lines elsewhere.

  Every `log_steps` it reports the step, the epoch, the learning rate, the
  means of the loss and of the other `show_progress` scalars since the last
  report, examples per second and the time left. It also writes TensorBoard
  summaries. The time of saving and evaluating between steps is left out.
  """

  def __init__(
    self,
    num_train_steps: int,
    num_examples: int,
    batch_size: int,
    log_steps: int,
    output_dir: str,
  ):
    self._total = num_train_steps
    self._num_examples = num_examples
    self._batch_size = batch_size
    self._log_steps = log_steps
    self._output_dir = output_dir
    self._started = time.monotonic()
    self._times = {}  # {size: seconds of its first steps}
    self.plan = {"batch size": batch_size, "number of examples": num_examples}

  def begin(self):
    self._step_tensor = tf.train.get_global_step()
    self._shown = shown()
    self._recorded = ()  # what another part of the program records
    if not self._shown:  # on TPU, where host_call records every step's loss
      self._shown = {"loss": tf.get_collection(tf.GraphKeys.LOSSES)[-1]}
      self._recorded = ("loss",)
    self._writer = tf.summary.FileWriterCache.get(self._output_dir)

  def after_create_session(self, session, coord):
    del coord
    self._first = self._step = session.run(self._step_tensor)
    restart_curves(self._output_dir, self._first + 1)
    self._seconds = 0.0
    self._open_window()
    self._bar = None
    if sys.stderr.isatty():
      self._bar = tqdm(total=self._total, initial=self._first, unit="step")

  def before_run(self, run_context):
    self._started = time.monotonic()
    self._part = clock.enter("steps")
    return tf.train.SessionRunArgs(self._shown)

  def leave_out(self, seconds: float):
    """Leaves time that was not spent on training out of the current step."""
    self._started += seconds

  def after_run(self, run_context, run_values):
    seconds = time.monotonic() - self._started
    self._window_seconds += seconds
    clock.enter(self._part)
    values = dict(run_values.results)
    if "batch_elements" in values:
      times = self._times.setdefault(int(values.pop("batch_elements")), [])
      if len(times) < _TIMES:
        times.append(seconds)
    if "steps_taken" in values:
      step = values.pop("steps_taken")
    else:  # on TPU, where a run is many steps
      step = run_context.session.run(self._step_tensor)
    for name, value in values.items():
      if not np.isfinite(value).all():
        raise ValueError(
          f"step {step}: the {name.replace('_', ' ')} became {np.max(value)}:"
          " lower --learning_rate or warm up for longer; the newest checkpoint"
          " is from before"
        )
    self._window.append(values)
    due = step // self._log_steps > self._step // self._log_steps
    if self._bar:
      self._bar.update(step - self._step)
    self._step = step
    if due or step >= self._total:
      self._show()
      self._open_window()

  def flush(self):
    """Writes the curves to the disk; training may resume from this step."""
    self._writer.flush()

  def end(self, session):
    self.flush()
    clock.move(compilation(self._times), "steps", "compilation")
    if self._bar:
      self._bar.close()

  def _open_window(self):
    self._window, self._window_seconds = [], 0.0
    self._window_step = self._step

  def _show(self):
    steps = self._step - self._window_step
    self._seconds += self._window_seconds
    values = dict(self._window[-1])
    for name in values.keys() - {"learning_rate"}:
      values[name] = float(np.mean([run[name] for run in self._window]))
    values["epoch"] = self._step * self._batch_size / self._num_examples
    values["examples_per_second"] = (
      steps * self._batch_size / max(self._window_seconds, 1e-9)
    )
    left = (self._total - self._step) * self._seconds
    left /= max(self._step - self._first, 1)
    summary = tf.Summary()
    for name in values.keys() - self._recorded:
      summary.value.add(tag=f"train/{name}", simple_value=float(values[name]))
    self._writer.add_summary(summary, self._step)
    if self._bar:  # a terminal line has no room for more
      self._bar.set_postfix_str(f"loss {_number(values['loss'])}")
    else:
      parts = [f"{name} {_number(value)}" for name, value in values.items()]
      logging.info(
        f"step {self._step}/{self._total}, {', '.join(parts)},"
        f" {duration(left)} left"
      )


def compilation(times: Mapping[int, Sequence[float]]) -> float:
  """The seconds by which the first steps of each size took longer.

  Args:
    times: {size: seconds of the first steps with a batch of this size}. A size
      with one step is compared with the others' later steps, in proportion.

  Returns:
    About the time in which XLA compiled.
  """
  later = {size: steps[1:] for size, steps in times.items()}
  elements = sum(size * len(steps) for size, steps in later.items())
  if not elements:
    return 0.0
  each = sum(map(sum, later.values())) / elements
  usual = {s: np.median(steps or [each * s]) for s, steps in later.items()}
  return sum(max(times[size][0] - usual[size], 0.0) for size in times)


def restart_curves(folder: str, step: int) -> None:
  """Has TensorBoard forget what a killed run recorded from a step on."""
  start = tf.SessionLog(status=tf.SessionLog.START)
  tf.summary.FileWriterCache.get(folder).add_session_log(start, step)


class SavingClock(tf.train.CheckpointSaverListener):
  """Leaves the time of saving and of earlier listeners out of the progress."""

  def __init__(self, progress: ProgressHook):
    self._progress = progress

  def before_save(self, session, global_step_value):
    self._part = clock.enter("checkpoints")
    self._started = time.monotonic()
    self._progress.flush()

  def after_save(self, session, global_step_value):
    self._progress.leave_out(time.monotonic() - self._started)
    clock.enter(self._part)


class EvaluationListener(tf.train.CheckpointSaverListener):
  """Evaluates each new checkpoint while training goes on.

  Args:
    evaluate: `checkpoint -> {score: float}`.
    output_dir: where the checkpoints are.
    best: a `BestCheckpoint` that may end training, or None.
  """

  def __init__(self, evaluate: Callable, output_dir: str, best=None):
    self._evaluate = evaluate
    self._output_dir = output_dir
    self._curves = os.path.join(output_dir, "eval")
    self._best = best
    self._first = checkpoints.current_step(output_dir)

  def catch_up(self) -> None:
    """Evaluates what an earlier run saved, if it was killed before it could."""
    best, step = self._best, self._first
    is_due = best and step and not best.has_compared(step, unknown=True)
    if tf.io.gfile.isdir(self._curves):
      restart_curves(self._curves, step if is_due else step + 1)
    if is_due:
      self._score(step)

  def is_patience_out(self) -> bool:
    """Returns whether an earlier run ended because no score was better."""
    return bool(self._best) and self._best.is_patience_out()

  def after_save(self, session, global_step_value):
    if global_step_value == self._first:  # training starts from these weights
      return None
    return self._score(global_step_value)

  def _score(self, step):
    """Evaluates the newest checkpoint; True asks the session to stop."""
    checkpoint = checkpoints.newest(self._output_dir)
    scores = self._evaluate(checkpoint)
    check_scores(scores)
    _write_summaries(self._curves, scores, step)
    shown = ", ".join(f"{k} {_number(v)}" for k, v in sorted(scores.items()))
    logging.info(f"step {step} evaluated: {shown}")
    if self._best and self._best.update(step, scores, checkpoint):
      return True
    return None


def check_scores(scores: Mapping) -> None:
  """Raises ValueError if a score is NaN or infinite."""
  for name, value in scores.items():
    if not np.isfinite(value):
      raise ValueError(
        f"the score {name} is {value}: the training has failed (lower"
        " --learning_rate), or the weights or the data are damaged"
      )


def _write_summaries(folder, scores, step):
  """Writes scores for TensorBoard."""
  summary = tf.Summary()
  for name, value in scores.items():
    summary.value.add(tag=name, simple_value=float(value))
  writer = tf.summary.FileWriterCache.get(folder)
  writer.add_summary(summary, step)
  writer.flush()


def show_predicting(
  batches: Iterable,
  size_of: Callable,
  num_examples: int | None,
  checkpoint: str | None,
) -> Iterator:
  """Shows how prediction goes on: a bar on a terminal, or lines in the log.

  Args:
    batches: of predictions, as they are computed.
    size_of: `batch -> number of its examples`.
    num_examples: how many there will be; None: unknown.
    checkpoint: the weights that are used, for the log.

  Yields:
    The batches.
  """
  started = logged = time.monotonic()
  done = 0
  with tqdm(total=num_examples, unit="example", disable=None) as bar:
    for batch in batches:
      size = size_of(batch)
      bar.update(size)
      done += size
      yield batch
      seconds = time.monotonic() - logged
      if bar.disable and seconds > _SECONDS_BETWEEN_LINES:
        logged += seconds
        logging.info(_how_far(done, num_examples, logged - started))
  seconds = time.monotonic() - started
  logging.info(
    f"predicted {done} examples in {seconds:.1f} s"
    f" ({done / seconds:.1f} examples/s)"
    f"{f' with {checkpoint}' if checkpoint else ''}"
  )


def _how_far(done, total, seconds):
  """How far prediction is, in words."""
  rate = done / seconds
  if not total:
    return f"example {done}, {rate:.1f} examples/s"
  left = duration((total - done) / max(rate, 1e-9))
  return f"example {done}/{total}, {rate:.1f} examples/s, {left} left"


def _number(value):
  """Formats a score or rate with at least four significant digits."""
  return f"{value:.4g}" if abs(value) < 1000 else f"{value:.0f}"


def duration(seconds):
  """Formats seconds as h:mm:ss or m:ss."""
  minutes, seconds = divmod(int(seconds + 0.5), 60)
  hours, minutes = divmod(minutes, 60)
  clock = f"{minutes}:{seconds:02d}"
  return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else clock
