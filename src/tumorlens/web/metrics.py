"""Counters for Prometheus."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """An application's counters. Labels are routes, states and classes: few, and nobody's."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        self._requests = Counter("tumorlens_requests", "Requests.", ("method", "route", "status"), registry=registry)
        self._seconds = Histogram(
            "tumorlens_request_seconds", "Time to answer.", ("route",), registry=registry, buckets=_BUCKETS
        )
        self.findings = Counter("tumorlens_findings", "Findings made at once.", ("label",), registry=registry)
        self.cases = Counter("tumorlens_cases", "Cases by what became of them.", ("status",), registry=registry)

    def gauge(self, name: str, what: str, value: Callable[[], float]) -> None:
        """Adds a figure that is asked for when it is wanted."""
        Gauge(f"tumorlens_{name}", what, registry=self._registry).set_function(value)

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Counts a request."""
        self._requests.labels(method if method.isalpha() and len(method) < 8 else "other", route, status).inc()
        self._seconds.labels(route).observe(seconds)

    def text(self) -> bytes:
        """All of them, in Prometheus's text format."""
        return generate_latest(self._registry)
