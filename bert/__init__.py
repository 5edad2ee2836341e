# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""The libraries of the scripts: records, tasks and training, each a room."""
