# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Flags, estimators, checkpoints, and trained models."""
