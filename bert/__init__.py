# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""The libraries: operations, records, tasks and training, each a folder."""
