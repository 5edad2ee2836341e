# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""The page on which a person asks a model, as one file.

In: `web/page.html` with the style and the scripts that it names beside it. Out:
one HTML text with all of them in it, so that nothing else has to be served.
"""

from __future__ import annotations

import functools
import pathlib
import re

_FOLDER = pathlib.Path(__file__).parent / "web"
_PARTS = {
  r'<link rel="stylesheet" href="(\w+\.css)">': "style",
  r'<script src="(\w+\.js)"></script>': "script",
}


@functools.cache
def html() -> str:
  """The page with its style and scripts inside."""
  text = (_FOLDER / "page.html").read_text(encoding="utf-8")
  for pattern, tag in _PARTS.items():
    text = re.sub(pattern, functools.partial(_inlined, tag), text)
  return text


def _inlined(tag, match):
  part = (_FOLDER / match.group(1)).read_text(encoding="utf-8")
  return f"<{tag}>\n{part}</{tag}>"
