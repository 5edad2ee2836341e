# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""The campaign of faults, `make faults`: docs/reliability.md explains it."""
