"""Where the evidence lies."""
