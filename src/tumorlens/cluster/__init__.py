"""Ray: many scans, and many networks, on many machines."""
