# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Data files, records and batches."""
