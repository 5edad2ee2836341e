# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""A task of your own: how two marked entities in a sentence are related.

In: a sentence such as "<1>The baker</1> taught <2>the driver</2>." Out: one
label. The vectors of the two entities' first tokens are joined and classified.

Shapes: B batch, S sequence, D hidden, L labels.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence

import tensorflow.compat.v1 as tf

from bert.records import packing, record_files
from bert.tasks import layers, task

DROPOUT = 0.1
_MARKS = re.compile(r"</?[12]>")


@dataclasses.dataclass(frozen=True)
class RelationsNote:
  """What task.json keeps."""

  task: str
  labels: Sequence[str]  # in the order of their ids
  do_lower_case: bool
  max_seq_length: int


class Relations(task.Task):
  """A sentence with two marked entities to the label of their relation."""

  name = "relations"
  Note = RelationsNote
  example = {"text": "<1>The baker</1> taught <2>the driver</2>."}

  def schema(self, is_training):
    return {
      **record_files.sequence_schema(self.note.max_seq_length),
      "entity_positions": tf.FixedLenFeature([2], tf.int64),
      "label_ids": tf.FixedLenFeature([], tf.int64),
    }

  def inputs(self):
    positions = tf.TensorSpec([None, 2], tf.int32, "entity_positions")
    return {**super().inputs(), "entity_positions": positions}

  def layers(self, encoder, features):
    """`logits` and `probabilities` [B, L], and `predicted` [B].

    Makes the variables `relations/output_weights` [L, 2 D] and `output_bias`.
    """
    tokens = encoder.get_sequence_output()  # [B, S, D]
    pairs = layers.gather_indexes(tokens, features["entity_positions"])
    pairs = tf.reshape(pairs, [-1, 2 * tokens.shape[-1]])  # [B, 2 D]
    with tf.variable_scope("relations"):
      pairs = encoder.dropout(pairs, DROPOUT)
      logits = layers.labels_product(pairs, len(self.note.labels))
    return {
      "logits": logits,
      "probabilities": tf.nn.softmax(logits),
      "predicted": tf.argmax(logits, axis=-1, output_type=tf.int32),
    }

  def scored(self, tensors, features):
    losses = layers.cross_entropy(tensors["logits"], features["label_ids"])
    return task.Outputs(
      predictions={
        "predicted": tensors["predicted"],
        "label_ids": features["label_ids"],
      },
      loss_sums=[tf.reduce_sum(losses)],
    )

  def served(self, tensors, inputs):
    labels = tf.constant(self.note.labels)
    return {
      "probabilities": tensors["probabilities"],
      "label": tf.gather(labels, tensors["predicted"]),
    }

  def prepare(self, row: Mapping, tokenizer):
    """The one window of a row; nothing is kept."""
    text = task.text_of(row, ("text",), self.example)
    plain, starts = find_entities(text)
    tokens, offsets = tokenizer.tokenize_with_offsets(plain)
    packed = packing.pack(tokens, None, self.note.max_seq_length, tokenizer)
    positions = [
      1 + sum(end <= start for _, end in offsets)  # behind [CLS]
      for start in starts
    ]
    if max(positions) > len(packed.tokens) - 2:
      raise ValueError(
        f"an entity is behind the first {self.note.max_seq_length} tokens: cut"
        " the text, or train with a larger --max_seq_length"
      )
    return [{**task.window(packed), "entity_positions": positions}], None

  def answer(self, kept, outputs):
    (output,) = outputs
    values = [float(value) for value in output["probabilities"]]
    probabilities = dict(zip(self.note.labels, values))
    return {
      "label": max(probabilities, key=probabilities.get),
      "probabilities": probabilities,
    }

  def decision(self, answer):
    return answer["label"]


def find_entities(text: str) -> tuple[str, list[int]]:
  """Takes the marks out of a text.

  Returns:
    The text without marks, and the character where each entity starts in it.

  Raises:
    ValueError: the text does not mark one entity 1 and one entity 2.
  """
  marks = [match.group() for match in _MARKS.finditer(text)]
  if marks not in (
    ["<1>", "</1>", "<2>", "</2>"],
    ["<2>", "</2>", "<1>", "</1>"],
  ):
    raise ValueError(
      "'text' has to mark two entities, as in"
      f" {Relations.example['text']!r}, not {text!r:.60}"
    )
  starts = [
    len(_MARKS.sub("", text[: text.index(mark)])) for mark in ("<1>", "<2>")
  ]
  return _MARKS.sub("", text), starts
