# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""The tasks that the project has, by the name that task.json gives them."""

from bert.tasks.answering import Answering
from bert.tasks.classification import Classification
from bert.tasks.ranking import Ranking
from bert.tasks.tagging import Tagging

TASKS = {
  task.name: task for task in (Classification, Answering, Tagging, Ranking)
}
