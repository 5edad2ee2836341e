# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""A trained model behind HTTP, and the page that shows what it answers."""
