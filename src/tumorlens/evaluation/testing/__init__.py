"""Tests weights on labelled scans: scores and report."""
