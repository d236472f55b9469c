"""Access to a cluster and its store, from the options that all commands share. Fast to import."""

from dataclasses import dataclass

from assay.queries.access import Access


@dataclass
class Session(Access):
    """Access of a user at a terminal. Notes go to the standard error stream."""

    def note(self, text: str) -> None:
        """Print a note."""
        from assay.cli.output.printing import note

        note(text)
