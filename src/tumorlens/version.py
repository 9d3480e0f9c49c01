"""The package's version, for all that write it into what they make."""

__version__ = "0.1.0"
