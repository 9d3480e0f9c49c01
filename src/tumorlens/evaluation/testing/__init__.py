"""Tests weights on labelled scans: scores, report, corruptions."""
