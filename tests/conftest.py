# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Sets TensorFlow up for every test: graph mode, quiet, few threads, seeded.

Nothing comes in. Each test starts in an empty default graph whose seed, like
those of random and numpy, is 1. The environment is set before TensorFlow is
imported and is handed on to the scripts that tests start.
"""

import os
import random

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
os.environ.setdefault("TF_NUM_INTEROP_THREADS", "2")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

tf.logging.set_verbosity(tf.logging.ERROR)
tf.disable_v2_behavior()
tf.enable_resource_variables()


@pytest.fixture(autouse=True)
def fresh_graph():
  """Gives the test an empty default graph and the same random numbers."""
  tf.reset_default_graph()
  tf.set_random_seed(1)
  np.random.seed(1)
  random.seed(1)
