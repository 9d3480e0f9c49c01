"""How an analysis gets on: told to whoever must know which file was read when the process dies."""

from __future__ import annotations


class Progress:
    """Listener to an analysis. This one does nothing."""

    def reading(self, path: str | None) -> None:
        """From now on, a file is read and decoded, or (None) nothing is."""

    def failed(self, path: str, problem: str) -> None:
        """A file is corrupt, or not wholly sound; the analysis goes on without what could not be read."""
