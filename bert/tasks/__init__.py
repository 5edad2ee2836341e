# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""What each task is, and its scores."""
