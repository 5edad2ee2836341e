# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Writes report.html: a run's curves, scores and errors in pictures.

In: the output folder of a run_ script; what an evaluation with --report has
kept there is shown example by example. Out: one HTML file that opens without a
network; with --baseline, it also says whether a difference of two models is
more than luck.
"""

from __future__ import annotations

import dataclasses

from bert.training import entry, flags


@dataclasses.dataclass(frozen=True)
class Options(flags.Options):
  """This script's flags."""

  model_dir: str | None = flags.flag(
    None, "Output folder of a run_ script.", required=True, reads=True
  )
  baseline: str | None = flags.flag(
    None,
    "Output folder of another run, evaluated on the same file with --report:"
    " compare the two.",
    reads=True,
  )
  output_file: str | None = flags.flag(
    None, "The page. Default: report.html in --model_dir.", writes="files"
  )


if __name__ == "__main__":
  entry.parse(Options)  # --help ends here, before the slow imports

from bert.reports import reports


def main(options: Options) -> None:
  print(reports.write(options.model_dir, options.output_file, options.baseline))


if __name__ == "__main__":
  entry.run(main, Options)
