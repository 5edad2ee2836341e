# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Times an exported model on one text, given as a string and as ids.

In: a version folder from export_model.py with signatures for strings. Out: the
median milliseconds of the signature `text`, of the signature `ids` with the
same ids, and their ratio. The two take turns, so that both run under the same
load.
"""

import os
import pathlib
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

import numpy as np
import tensorflow.compat.v1 as tf
import tensorflow_text  # noqa: F401  (its ops)
from absl import app, flags

FLAGS = flags.FLAGS

# 16 words.
_SENTENCE = (
  "the committee said on monday that it would not change the rules before the"
  " next election"
)


def define_flags():
  flags.DEFINE_string("saved_model", None, "Version folder: export_dir/1.")
  flags.DEFINE_string("text", _SENTENCE, "The text to send in every run.")
  flags.DEFINE_integer("runs", 500, "Runs of each signature.", lower_bound=1)
  flags.mark_flag_as_required("saved_model")


def main(_):
  tf.disable_v2_behavior()
  with tf.Graph().as_default(), tf.Session() as session:
    loaded = tf.saved_model.load(session, ["serve"], FLAGS.saved_model)
    ids, text = (loaded.signature_def[name] for name in ("ids", "text"))
    names = ("input_ids", "input_mask", "segment_ids")
    tensors = [ids.inputs[name].name for name in names]
    outputs = [tensor.name for tensor in ids.outputs.values()]
    feeds = {"text": [text.inputs["text_a"].name], "ids": tensors}
    texts = np.array([FLAGS.text.encode("utf-8")], object)
    values = {"text": [texts]}
    values["ids"] = session.run(tensors, {feeds["text"][0]: texts})
    calls = {
      name: session.make_callable(outputs, feed) for name, feed in feeds.items()
    }
    seconds = {name: [] for name in calls}
    for run in range(FLAGS.runs + 20):  # the first 20 are a warm-up
      for name, call in calls.items():
        started = time.perf_counter()
        call(*values[name])
        if run >= 20:
          seconds[name].append(time.perf_counter() - started)
  medians = {name: np.median(found) * 1000 for name, found in seconds.items()}
  print(
    f"{len(FLAGS.text.split())} words, {values['ids'][0].shape[1]} tokens:"
    f" from text {medians['text']:.2f} ms, from ids {medians['ids']:.2f} ms,"
    f" ratio {medians['text'] / medians['ids']:.3f}"
  )


if __name__ == "__main__":
  define_flags()
  app.run(main)
