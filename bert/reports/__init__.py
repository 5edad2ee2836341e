# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""What a trained model did, in pictures and tables."""
