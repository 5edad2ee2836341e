# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""The page as a file: whole, and without what could run a user's text."""

import re

from bert.serving import page

RUNS_TEXT = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\("


def test_the_page_is_one_file_that_loads_nothing():
  text = page.html()
  assert text.count("<script>") == 6 and text.count("<style>") == 1
  assert not re.search(r"<script src|rel=\"stylesheet\"|@import|url\(", text)
  addresses = set(re.findall(r"https?://[\w.]+", text))
  assert addresses == {"http://www.w3.org"}  # the name space of its icon


def test_texts_do_not_become_markup():
  assert not re.search(RUNS_TEXT, page.html())
