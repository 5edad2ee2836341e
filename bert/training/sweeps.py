# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""The runs of a sweep: one for each setting of a grid and each seed.

In: a run_ script's command, and a grid of its flags. Out: the command and the
folder of each run, checked against the script's own flags before anything runs;
and sweep.json, which keeps how the runs ended.
"""

from __future__ import annotations

import dataclasses
import itertools
import os
import re
from collections.abc import Mapping, Sequence

from absl import flags as absl_flags

from bert.files import kept_files, reading, writing
from bert.training import entry, flags

PROJECT = os.path.abspath(os.path.join(__file__, "../../.."))
DONE, FAILED, DIVERGED = "done", "failed", "diverged"
_EXAMPLE = (
  "python sweep.py --output_dir=sweep_output --grid learning_rate=2e-5,3e-5"
  " --seeds=3 -- run_classifier.py --do_train --do_eval ..."
)
# Flags that the sweep gives to each run.
_OWN = {
  "output_dir": "it names a folder for each run in its own --output_dir",
  "random_seed": "give --seeds=N for the seeds 1 to N",
  "records_dir": "its runs share their records",
}
_GIVEN = {"output_dir", "random_seed"}  # those of them in `Run.words`
_LONGEST_NAME = 120  # of a folder
_STATE = {
  "command": dict,
  "runs": {
    str: {
      "status": str,
      "seconds": float,
      "scores": {str: float},
      "message": str,
    }
  },
}


@dataclasses.dataclass(frozen=True)
class Run:
  """One training with one setting and one seed."""

  setting: tuple[tuple[str, str], ...]  # (flag, value) of the grid
  seed: int
  folder: str
  words: tuple[str, ...]  # the command, from the script on

  @property
  def title(self) -> str:
    return f"{title_of(self.setting)}, seed {self.seed}"


@dataclasses.dataclass(frozen=True)
class Result:
  """How a run ended."""

  status: str
  seconds: float
  scores: dict  # {name: number} of eval_results.json
  message: str = ""  # what went wrong


@dataclasses.dataclass(frozen=True)
class Sweep:
  """All runs, in their order: the seeds of a setting one after the other."""

  runs: list[Run]
  names: tuple[str, ...]  # of the grid's flags
  command: dict  # {flag: value} of the command, where it is not the default
  shares_records: bool  # whether the script has --records_dir


def title_of(setting: Sequence[tuple[str, str]]) -> str:
  """A setting in words."""
  return " ".join(f"{name}={value}" for name, value in setting) or "no grid"


# ------------------------------------------------------------------- plan


def plan(
  words: Sequence[str], grid: Sequence[str], seeds: int, output_dir: str
) -> Sweep:
  """Makes the runs, and checks each command against the script's flags.

  This imports no TensorFlow.

  Args:
    words: the script and its flags.
    grid: texts such as "learning_rate=2e-5,3e-5".
    seeds: how many runs there are of each setting.
    output_dir: the sweep's folder.

  Raises:
    ValueError: the script, its flags or the grid are wrong.
  """
  if "://" in output_dir:
    raise ValueError(f"--output_dir={output_dir}: a sweep needs a local folder")
  values = parse_grid(grid)
  if not words:
    raise ValueError(f"no script to run: give one, as in {_EXAMPLE}")
  script = _find_script(words[0])
  options_class = entry.options_class_of(script)
  fields = {field.name for field in dataclasses.fields(options_class)}
  if not {"output_dir", "random_seed"} <= fields:
    raise ValueError(
      f"{words[0]} has no --output_dir and --random_seed: a sweep runs the"
      " scripts that train, such as run_classifier.py"
    )
  runs, parsed = [], {}
  for row in itertools.product(*values.values()):
    setting = tuple(zip(values, row))
    folder = os.path.join(output_dir, _folder_name(setting))
    made = [
      _make_run(script, words[1:], setting, seed, folder)
      for seed in range(1, seeds + 1)
    ]
    options = _check_run(options_class, made[0], words[0])
    given = tuple(getattr(options, name) for name in values)
    if given in parsed:
      raise ValueError(
        f"--grid has one setting twice: {title_of(parsed[given])} and"
        f" {title_of(setting)}"
      )
    parsed[given] = setting
    runs += made
  command = {
    field.name: getattr(options, field.name)
    for field in dataclasses.fields(options_class)
    if field.metadata
    and field.name not in {*values, *_OWN}
    and getattr(options, field.name) != field.default
  }
  command = {"script": os.path.basename(script), **command}
  return Sweep(runs, tuple(values), command, "records_dir" in fields)


# What the scripts call their scores, behind eval_ and the name of a file.
_SCORES = {
  "run_classifier.py": (
    *("accuracy", "f1", "macro_f1", "micro_f1", "matthews"),
    *("pearson", "spearman", "mse", "subset_accuracy", "hamming_loss", "loss"),
  ),
  "run_squad.py": (
    *("exact_match", "f1", "total", "best_exact_match_threshold"),
    "best_f1_threshold",
  ),
  "run_tagger.py": (
    *("precision", "recall", "f1", "loss", "token_accuracy"),
    *("token_precision", "token_recall", "token_f1", "token_macro_f1"),
  ),
  "run_ranker.py": (
    *("recall_at_1", "recall_at_2", "recall_at_5", "recall_at_10"),
    *("mrr", "map", "ndcg", "pearson", "spearman"),
  ),
  "run_pretraining.py": (
    *("masked_lm_loss", "masked_lm_accuracy", "perplexity", "loss"),
    *("next_sentence_loss", "next_sentence_accuracy"),
  ),
}


def check_score(score: str | None, script: str) -> None:
  """Raises ValueError if no task of a script has a score of this name.

  Which of them a run has is known when it has ended.

  Args:
    score: --score, which may leave out `eval_`; None: the main one.
    script: its name; any score may be one of a script that is not ours.
  """
  known = _SCORES.get(script)
  if score and known and not re.search(rf"(^|_)({'|'.join(known)})$", score):
    raise ValueError(
      f"--score={score} is not a score of {script}: give one of"
      f" {', '.join(known)}"
    )


def parse_grid(grid: Sequence[str]) -> dict[str, list[str]]:
  """{flag: values} of texts such as "learning_rate=2e-5,3e-5".

  Raises:
    ValueError: one has another form, or a flag comes twice.
  """
  values = {}
  for text in grid:
    name, _, listed = text.partition("=")
    parts = [part.strip() for part in listed.split(",")]
    if not re.fullmatch(r"\w+", name) or not all(parts):
      raise ValueError(
        f"--grid {text}: give a flag and its values, without blanks and empty"
        " ones, as in --grid learning_rate=2e-5,3e-5"
      )
    if name in values:
      raise ValueError(f"--grid {name} comes twice: list all values in one")
    if name in _OWN:
      raise ValueError(
        f"--grid {name}: the sweep sets --{name} itself: {_OWN[name]}"
      )
    values[name] = parts
  return values


def _find_script(name):
  """The path of a script, here or in the project's folder."""
  for path in (name, os.path.join(PROJECT, name)):
    if os.path.isfile(path):
      return path
  raise ValueError(
    f"there is no script {name}: give a run_ script and its flags, as in"
    f" {_EXAMPLE}"
  )


def _folder_name(setting):
  """A name that tells a setting, and is a folder's on any system.

  TensorFlow takes [ and ? in a path for a pattern; flags take a comma for the
  end of a path.
  """
  name = "+".join(f"{flag}={value}" for flag, value in setting) or "no_grid"
  safe = re.sub(r"[^\w.=+-]", "_", name, flags=re.ASCII)[:_LONGEST_NAME]
  return safe if safe == name else f"{safe}+{kept_files.fingerprint(name)[:8]}"


def _make_run(script, flags_given, setting, seed, folder):
  folder = os.path.join(folder, f"seed_{seed}")
  return Run(
    setting,
    seed,
    folder,
    (
      script,
      *flags_given,
      *(f"--{name}={value}" for name, value in setting),
      f"--random_seed={seed}",
      f"--output_dir={folder}",
    ),
  )


def _check_run(options_class, run, name):
  """The options that a run's command gives.

  Raises:
    ValueError: a flag is wrong or comes twice, or there would be no scores.
  """
  found = absl_flags.FlagValues()
  try:
    options, stray = flags.parse(options_class, run.words[1:], found)
  except absl_flags.Error as error:
    raise ValueError(f"{name}: {' '.join(str(error).split())}") from None
  if stray:
    raise ValueError(
      f"{name}: stray words on its command line: {' '.join(stray[:3])} (join a"
      " flag and its value with =)"
    )
  for flag, _ in run.setting:
    if found[flag].present > 1:
      raise ValueError(f"--{flag} is in the grid and in {name}'s command")
  for flag, why in _OWN.items():
    if flag in options.given and found[flag].present > (flag in _GIVEN):
      raise ValueError(
        f"{name}: the sweep sets --{flag} itself: {why}; take it out of the"
        " command"
      )
  action = "do_eval" if hasattr(options, "do_eval") else "do_predict"
  if not getattr(options, action, True):
    raise ValueError(f"{name}: without --{action} there are no scores: add it")
  return options


# ------------------------------------------------------------------ state


class State:
  """What sweep.json keeps: the command, and how each run has ended.

  Args:
    output_dir: the sweep's folder.
    sweep: of `plan`.

  Raises:
    ValueError: the folder holds a sweep of another command.
  """

  def __init__(self, output_dir: str, sweep: Sweep):
    self._path = os.path.join(output_dir, "sweep.json")
    self._folder = output_dir
    self._command = reading.parse_json(
      writing.json_text(sweep.command, self._path), self._path
    )
    self._results = {}
    if not os.path.exists(self._path):
      return
    kept = reading.read_json(self._path, _STATE, "state of a sweep")
    self._compare(kept["command"], output_dir)
    self._results = {
      name: Result(**{f.name: found[f.name] for f in _RESULT_FIELDS})
      for name, found in kept["runs"].items()
    }

  def result(self, run: Run) -> Result | None:
    """How a run ended; None if it has not, or its folder was removed."""
    if not os.path.isdir(run.folder):
      return None
    return self._results.get(os.path.relpath(run.folder, self._folder))

  def keep(self, run: Run, result: Result) -> None:
    """Notes how a run has ended, and writes sweep.json."""
    self._results[os.path.relpath(run.folder, self._folder)] = result
    runs = {k: dataclasses.asdict(v) for k, v in self._results.items()}
    writing.write_json(self._path, {"command": self._command, "runs": runs})

  def forget(self, runs: Sequence[Run]) -> None:
    """Has runs that are to be run again count as not ended."""
    for run in runs:
      self._results.pop(os.path.relpath(run.folder, self._folder), None)

  def _compare(self, kept: Mapping, output_dir):
    """Raises ValueError if the command is not the one that was kept."""
    names = dict.fromkeys([*kept, *self._command])
    other = [
      f"--{name} was {_shown(kept, name)} and is now"
      f" {_shown(self._command, name)}"
      for name in names
      if kept.get(name) != self._command.get(name)
    ]
    if other:
      raise ValueError(
        f"{output_dir} holds a sweep of another command: {'; '.join(other)}:"
        " give the same command, or another --output_dir"
      )


_RESULT_FIELDS = dataclasses.fields(Result)


def _shown(command, name):
  return reading.shown(command[name]) if name in command else "not given"
