"""Patience, for all end-to-end tests: what they expect of a page may come late on a machine with much else to do."""

from __future__ import annotations

from playwright.sync_api import expect

PATIENCE = 120_000
"""Milliseconds. What is there at once is not waited for, so this costs time only where a test fails."""

expect.set_options(timeout=PATIENCE)
