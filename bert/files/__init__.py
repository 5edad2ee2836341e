# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Operations of the graph: their gradients, and what XLA compiles."""
