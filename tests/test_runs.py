# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""What all run_ scripts check and choose."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence

import pytest
import tensorflow.compat.v1 as tf
from helpers import write

import modeling
import optimization
from bert.records import input_pipeline, record_files
from bert.tasks import task
from bert.training import cluster, flags, runs


@dataclasses.dataclass(frozen=True)
class Options(flags.FineTuningOptions, flags.EvaluationOptions):
  """The options of a run_ script."""


@dataclasses.dataclass(frozen=True)
class Note:
  task: str
  labels: Sequence[str]
  do_lower_case: bool = True
  max_seq_length: int = 128


class Sorting(task.Task):
  """A task of which only the note matters."""

  name = "sorting"
  Note = Note


@pytest.fixture
def options(tmp_path):
  """The options of a training; a test changes them."""
  return Options(do_train=True, output_dir=str(tmp_path / "out"))


def save(folder, step=1):
  """Writes a checkpoint with one variable and returns its prefix."""
  folder.mkdir(parents=True, exist_ok=True)
  with tf.Graph().as_default(), tf.Session() as session:
    tf.get_variable("kept", initializer=[0.0])
    tf.get_variable("global_step", initializer=tf.constant(step, tf.int64))
    session.run(tf.global_variables_initializer())
    return tf.train.Saver().save(session, str(folder / "model.ckpt"), step)


# ------------------------------------------------------------------- checks


def test_a_run_has_something_to_do(options):
  runs.check_options(options, ["do_train", "do_eval"])
  options = dataclasses.replace(options, do_train=False)
  with pytest.raises(ValueError, match="at least one of --do_train, --do_eval"):
    runs.check_options(options, ["do_train", "do_eval"])


def test_an_option_names_the_one_that_it_needs(options):
  pairs = [("do_train", "init_checkpoint"), ("do_eval", "vocab_file")]
  with pytest.raises(ValueError, match="^--do_train needs --init_checkpoint$"):
    runs.check_needed(options, pairs)
  runs.check_needed(dataclasses.replace(options, init_checkpoint="a"), pairs)


def test_a_batch_is_split_over_parts_and_devices(options, monkeypatch):
  monkeypatch.setattr(cluster, "devices", lambda options: ["a", "b"])
  options = dataclasses.replace(
    options, train_batch_size=12, gradient_accumulation_steps=3
  )
  runs.check_options(options, ["do_train"])
  options = dataclasses.replace(options, train_batch_size=9)
  with pytest.raises(ValueError, match="=9 can't be split into 6 equal parts"):
    runs.check_options(options, ["do_train"])


def test_float16_needs_a_gpu(options):
  with pytest.raises(ValueError, match="--precision=float16 needs a GPU"):
    runs.check_precision(dataclasses.replace(options, precision="float16"))


@pytest.mark.parametrize("has_units", [True, False])
def test_slow_bfloat16_is_announced(options, monkeypatch, caplog, has_units):
  monkeypatch.setattr(runs, "_has_bfloat16_units", lambda: has_units)
  runs.check_precision(dataclasses.replace(options, precision="bfloat16"))
  assert ("will be slower than float32" in caplog.text) is not has_units


def test_the_originals_optimizer_is_the_default(options):
  graph = runs.graph_options(options, None, 10)
  assert graph.optimizer == optimization.Options(5e-5, 10, 1)


@pytest.mark.parametrize(
  ("changed", "message"),
  [
    (
      {"optimizer": "adafactor", "given": frozenset(["adam_beta2"])},
      "^--adam_beta2 can't be used with --optimizer=adafactor, ",
    ),
    (
      {"reinit_layers": 2},
      "^--reinit_layers=2 needs --init_checkpoint: without it, all layers are",
    ),
    (
      {"reinit_layers": 2, "init_checkpoint": "a", "trainable": "last:1"},
      "^--reinit_layers=2 gives .* --trainable=last:1 would not train: give"
      " --trainable=last:2 or more$",
    ),
    (
      {"reinit_layers": 1, "init_checkpoint": "a", "trainable": "head"},
      "--trainable=head would not train",
    ),
  ],
)
def test_training_flags_that_do_not_fit_are_named(options, changed, message):
  options = dataclasses.replace(options, **changed)
  with pytest.raises(ValueError, match=message):
    runs.check_options(options, ["do_train"])


def test_new_layers_that_are_trained_are_fine(options, tmp_path):
  few = {"reinit_layers": 2, "trainable": "last:2", "init_checkpoint": "a"}
  runs.check_options(dataclasses.replace(options, **few), ["do_train"])
  save(tmp_path / "out")  # a run goes on, and draws no weights
  few["init_checkpoint"] = None
  runs.check_options(dataclasses.replace(options, **few), ["do_train"])


def test_a_folder_with_another_model_is_refused(tmp_path):
  folder = tmp_path / "out"
  write(folder / "bert_config.json", '{"a": 1, "b": 2}')
  write(folder / "vocab.txt", "one\ntwo\n")
  given = tmp_path / "config.json"
  vocab = tmp_path / "vocab.txt"
  write(given, '{"b": 3}')
  vocab.write_bytes(b"one\r\ntwo\r\n")
  options = Options(
    do_train=True,
    output_dir=str(folder),
    bert_config_file=str(given),
    vocab_file=str(vocab),
  )
  runs.check_options(options, ["do_train"])  # no checkpoint: nothing to lose
  save(folder)
  with pytest.raises(ValueError, match=r"config.json differs from its bert_c"):
    runs.check_options(options, ["do_train"])
  write(given, json.dumps({"b": 2, "a": 1}, indent=2))
  runs.check_options(options, ["do_train"])  # another layout, the same content
  write(vocab, "two\none\n")
  with pytest.raises(ValueError, match=r"vocab.txt differs from its vocab.txt"):
    runs.check_options(options, ["do_train"])
  with pytest.raises(ValueError, match="--output_dir is empty: name a folder"):
    runs.check_options(
      dataclasses.replace(options, output_dir=""), ["do_train"]
    )


@pytest.mark.parametrize("given", ["f1", "eval_f1"])
def test_a_score_may_be_named_without_eval(options, given):
  options = dataclasses.replace(options, keep_best=given, eval_steps=5)
  found = runs.check_evaluation(options, ["eval_accuracy", "eval_f1"])
  assert found.keep_best == "eval_f1"


@pytest.mark.parametrize(
  ("changed", "message"),
  [
    (
      {"keep_best": "bleu"},
      "keep_best=eval_bleu is not a score of this task: .* eval_f1, eval_loss",
    ),
    ({"patience": 2}, "--patience needs --keep_best=SCORE"),
    ({"keep_best": "f1"}, "--keep_best needs --eval_steps"),
    (
      {"eval_steps": 5, "distribution": "multi_worker"},
      r"workers would wait: evaluate after training \(--do_eval\)",
    ),
    (
      {"eval_steps": 5, "use_tpu": True},
      r"no room for two programs: evaluate after training \(--do_eval\)",
    ),
    ({"keep_best": "f1", "do_train": False}, "best holds no best checkpoint"),
  ],
)
def test_evaluation_flags_that_do_not_fit_are_named(options, changed, message):
  options = dataclasses.replace(options, **changed)
  with pytest.raises(ValueError, match=message):
    runs.check_evaluation(options, ["eval_f1", "eval_loss"])


def test_advice_names_flags_that_the_script_has():
  options = flags.FineTuningOptions(eval_steps=5, use_tpu=True)  # no --do_eval
  with pytest.raises(ValueError, match=r"after training \(--do_predict\)$"):
    runs.check_evaluation(options, ["f1"])


# -------------------------------------------------------------------- model


def test_a_vocabulary_much_smaller_than_the_model_gets_a_warning(caplog):
  options = Options(vocab_file="v.txt", bert_config_file="c.json")
  config = modeling.BertConfig(10, 8, 1, 2, 16)
  for size in (8, 9):
    vocab = {str(i): i for i in range(size)}
    runs.check_vocab_size(options, vocab, config)
  assert caplog.messages == [
    "v.txt has 8 tokens, and c.json vocab_size 10: is it the model's own"
    " vocabulary?"
  ]
  with pytest.raises(ValueError, match="v.txt has 11 tokens but vocab_size is"):
    runs.check_vocab_size(options, {"a": 10}, config)


@pytest.fixture
def model_options(options, tmp_path):
  """Options with a small configuration and its vocabulary, which is cased."""
  words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "Good", "Day"]
  words += [f"word{i}" for i in range(10)]
  config = modeling.BertConfig(
    len(words), 8, 1, 2, 16, max_position_embeddings=16
  )
  return dataclasses.replace(
    options,
    bert_config_file=write(tmp_path / "c.json", config.to_json_string()),
    vocab_file=write(tmp_path / "v.txt", "\n".join(words)),
    do_lower_case=False,
    max_seq_length=16,
  )


def test_a_model_is_its_configuration_and_vocabulary(model_options):
  model = runs.load_model(model_options)
  assert model.config.hidden_size == 8
  assert model.tokenizer.tokenize("Good Day") == ["Good", "Day"]
  assert model.init_checkpoint is None


def test_a_model_that_does_not_fit_is_refused(model_options):
  def refused(message, **changed):
    with pytest.raises(ValueError, match=message):
      runs.load_model(dataclasses.replace(model_options, **changed))

  refused("=17 is over max_position_embeddings=16 of", max_seq_length=17)
  refused("v.txt is cased: give --do_lower_case=False", do_lower_case=True)
  refused("holds no trained model: train first", do_train=False)
  refused("no checkpoint a/b: there is no file", init_checkpoint="a/b")
  write(model_options.vocab_file, "Good\nDay\n")
  refused(r"lacks the special tokens \[PAD\], \[UNK\], \[CLS\], \[SEP\]")


def test_a_vocabulary_of_another_case_can_be_forced(model_options):
  model = runs.load_model(
    dataclasses.replace(
      model_options, do_lower_case=True, check_vocab_case=False
    )
  )
  assert model.tokenizer.tokenize("Good") == ["[UNK]"]


# --------------------------------------------------------------------- note


def write_note(folder, *labels, task="sorting"):
  write(folder / "task.json", json.dumps({"task": task, "labels": labels}))


def model_of(init_checkpoint):
  return runs.Model(
    config=None, tokenizer=None, init_checkpoint=init_checkpoint
  )


def test_the_note_is_that_of_the_model_in_use(tmp_path):
  trained, start = tmp_path / "trained", tmp_path / "start"
  model = model_of(save(start / "best"))
  write_note(start, "start")

  def labels(output_dir, **options):
    options = Options(output_dir=str(output_dir), **options)
    note = runs.kept_note(options, Sorting, model)
    return note and note.labels

  assert labels(tmp_path / "none") == ["start"]
  assert labels(tmp_path / "none", do_train=True) is None
  save(trained)
  assert labels(trained, do_train=True) is None
  write_note(trained, "trained")
  assert labels(trained) == ["trained"]
  assert labels(trained, do_train=True) == ["trained"]
  write_note(trained, "trained", task="squad")
  with pytest.raises(ValueError, match="is of the task 'squad'"):
    labels(trained)


@pytest.mark.parametrize(
  ("labels", "is_warned"),
  [(["O", "B-X"], True), (["O", "B-A"], False), (["O", "A", "B"], False)],
)
def test_a_head_for_other_labels_gets_a_warning(
  options, tmp_path, caplog, labels, is_warned
):
  write_note(tmp_path, "O", "B-A")
  model = model_of(str(tmp_path / "model.ckpt"))
  runs.warn_of_other_labels(options, Sorting, model, labels)
  assert ("a head for the labels O, B-A: training" in caplog.text) is is_warned


def test_a_head_of_another_task_gets_no_warning(options, tmp_path, caplog):
  write_note(tmp_path, "O", "B-A", task="tagger")
  model = model_of(str(tmp_path / "model.ckpt"))
  runs.warn_of_other_labels(options, Sorting, model, ["O", "B-X"])
  assert not caplog.text


def test_notes_that_differ_name_the_field():
  kept = Note("sorting", ["0", "1"])
  note = dataclasses.replace(kept, do_lower_case=False)
  runs.compare_notes(kept, note, ["labels"])
  with pytest.raises(
    ValueError, match="has do_lower_case True, and now it is False: give the s"
  ):
    runs.compare_notes(kept, note, ["labels", "do_lower_case"])


# ---------------------------------------------------------------- estimator


def test_steps_are_whole_batches(options):
  assert runs.num_train_steps(options, 3637) == 340  # 340.97
  assert runs.num_train_steps(options, 11) == 1
  with pytest.raises(
    ValueError, match=r"10 words x --num_train_epochs=3.0 do not fill one step"
  ):
    runs.num_train_steps(options, 10, "words")


def test_warmup_is_a_share_of_the_steps(options):
  graph = runs.graph_options(options, "a/b", num_train_steps=39)
  assert graph.init_checkpoint == "a/b"
  assert graph.optimizer.num_train_steps == 39
  assert graph.optimizer.num_warmup_steps == 3


def test_graph_options_follow_the_flags(options):
  options = dataclasses.replace(
    options,
    precision="float16",
    optimizer="lamb",
    gradient_accumulation_steps=4,
    recompute_layers=True,
    random_seed=7,
    lr_schedule="cosine",
    weight_decay=0.3,
    adam_beta2=0.98,
    max_grad_norm=0.0,
    reinit_layers=2,
  )
  graph = runs.graph_options(options, None, 10)
  assert graph.reinit_layers == 2
  assert graph.optimizer.lr_schedule == "cosine"
  assert graph.optimizer.weight_decay == 0.3
  assert graph.optimizer.adam_beta2 == 0.98
  assert graph.optimizer.max_grad_norm == 0.0
  assert graph.optimizer.optimizer == "lamb"
  assert graph.optimizer.slices == 4
  assert graph.optimizer.scale_loss
  assert graph.random_seed == 7
  assert graph.encoder == {
    "use_one_hot_embeddings": False,
    "compute_dtype": tf.float16,
    "recompute_layers": True,
    "trained_layers": None,
  }


@pytest.mark.parametrize(
  ("text", "expected"),
  [
    ("auto", "auto"),
    ("none", []),
    ("32,64,128", [32, 64, 128]),
    ("32, 64", [32, 64, 128]),
    ("64,200", [64, 128]),
  ],
)
def test_length_buckets_end_with_the_longest_sequence(text, expected):
  assert runs.length_buckets(Options(length_buckets=text)) == expected


@pytest.mark.parametrize("text", ["9,4", "4,4", "4,x", "", "-4"])
def test_length_buckets_ascend(text):
  with pytest.raises(ValueError, match=f"--length_buckets={text}: give auto"):
    runs.length_buckets(Options(length_buckets=text))


@pytest.mark.parametrize(
  ("epochs", "bounds"), [(3.0, [8, 16]), (1.0, [8, 16]), (0.5, [16])]
)
def test_short_trainings_have_fewer_lengths(
  options, monkeypatch, epochs, bounds
):
  # [8, 16] saves 300 * 8 = 2400 of 9600 positions an epoch.
  chosen = []
  monkeypatch.setattr(
    input_pipeline,
    "input_fn_builder",
    lambda *args: chosen.append(args[5]),
  )
  options = dataclasses.replace(options, num_train_epochs=epochs)
  records = record_files.RecordFile("a.tf_record", [5] * 300 + [13] * 300)
  schema = record_files.sequence_schema(16)
  runs.make_input_fn(options, records, schema, is_training=True)
  runs.make_input_fn(options, records, schema, is_training=False)
  assert chosen == [bounds, [8, 16]]


def test_a_tpu_has_no_length_buckets():
  assert runs.length_buckets(Options(use_tpu=True)) == []


# ----------------------------------------------------------------- training


def test_scores_belong_to_the_weights_in_use(options, tmp_path):
  first = save(tmp_path / "first", 3)
  assert runs.used_step(options, model_of(first), None) == 3
  save(tmp_path / "out", 7)
  assert runs.used_step(options, model_of(first), None) == 7
  best = save(tmp_path / "out" / "best", 5)
  assert runs.used_step(options, model_of(first), best) == 5


def test_the_best_checkpoint_is_used_where_one_is_kept(options, tmp_path):
  assert runs.best_checkpoint(options) is None
  options = dataclasses.replace(options, keep_best="eval_f1")
  assert runs.best_checkpoint(options) is None
  best = tmp_path / "out" / "best"
  note = {"score": "eval_f1", "value": 0.5, "step": 3, "worse": 0}
  note["checkpoint"] = "model.ckpt-3"
  write(best / "best.json", json.dumps(note))
  assert runs.best_checkpoint(options) == str(best / "model.ckpt-3")


def test_scores_are_sorted_lines_and_json(tmp_path):
  runs.write_scores(
    Options(output_dir=str(tmp_path)),
    {"loss": 0.5, "eval_accuracy": 0.75},
    {"labels": ["é"]},
  )
  text = (tmp_path / "eval_results.txt").read_text()
  assert text == "eval_accuracy = 0.75\nloss = 0.5\n"
  found = json.loads((tmp_path / "eval_results.json").read_text("utf-8"))
  assert found == {"loss": 0.5, "eval_accuracy": 0.75, "labels": ["é"]}
  assert len(list(tmp_path.iterdir())) == 2
