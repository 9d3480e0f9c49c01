"""Trains, tests and reports, end to end."""
