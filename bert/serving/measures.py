# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""What a server counts and times, for Prometheus.

In: requests that are answered, and batches that are computed. Out: the text
that Prometheus reads from /metrics.
"""

from __future__ import annotations

from collections.abc import Callable

import prometheus_client as prometheus

CONTENT_TYPE = prometheus.CONTENT_TYPE_LATEST
_SECONDS = (
  *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
  *(1, 2.5, 5, 10, 30),
)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Measures:
  """The counters, gauges and histograms of one server."""

  def __init__(self):
    self._registry = prometheus.CollectorRegistry()
    prometheus.ProcessCollector(registry=self._registry)
    prometheus.GCCollector(registry=self._registry)

    def make(kind, name, text, *labels, **options):
      return kind(
        f"bert_{name}", text, labels, registry=self._registry, **options
      )

    self._requests = make(
      prometheus.Counter,
      "requests",
      "Requests that were answered, by status; 499: the client was gone.",
      *("route", "status"),
    )
    self._seconds = make(
      prometheus.Histogram,
      "request_seconds",
      "From the head of a request to its answer.",
      "route",
      buckets=_SECONDS,
    )
    self._sizes = make(
      prometheus.Histogram,
      "batch_windows",
      "Windows that were computed together.",
      "model",
      buckets=_SIZES,
    )
    self._batch_seconds = make(
      prometheus.Histogram,
      "batch_seconds",
      "How long a batch was computed.",
      "model",
      buckets=_SECONDS,
    )
    self._rows = make(
      prometheus.Counter, "rows", "Rows of requests.", "model", "result"
    )
    self._waiting = make(
      prometheus.Gauge, "queue_windows", "Windows that wait to be computed."
    )
    self._of_labels = {}  # children, which are slow to look up

  def watch_queue(self, num_waiting: Callable[[], int]) -> None:
    """Has the length of the queue asked for when the text is read."""
    self._waiting.set_function(num_waiting)

  def note_request(self, route: str, status: int, seconds: float) -> None:
    """Counts a request and its time."""
    self._child(self._requests, route, status).inc()
    self._child(self._seconds, route).observe(seconds)

  def note_rows(self, model: str, num_rows: int, num_bad: int) -> None:
    """Counts the rows of a request, and those that could not be answered."""
    self._child(self._rows, model, "answered").inc(num_rows - num_bad)
    if num_bad:
      self._child(self._rows, model, "error").inc(num_bad)

  def note_batch(self, model, size: int, seconds: float) -> None:
    """Counts a batch of `batcher.Batcher`."""
    self._child(self._sizes, model.name).observe(size)
    self._child(self._batch_seconds, model.name).observe(seconds)

  def text(self) -> bytes:
    """What Prometheus reads."""
    return prometheus.generate_latest(self._registry)

  def _child(self, metric, *labels):
    key = (metric, *labels)
    if key not in self._of_labels:
      self._of_labels[key] = metric.labels(*labels)
    return self._of_labels[key]
