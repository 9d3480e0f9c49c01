"""Validation of locked weights on a hospital's own scans."""
