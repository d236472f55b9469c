"""The options that all commands share, as access to a cluster and its store. Imports nothing that takes time."""

from dataclasses import dataclass

from assay.queries.access import Access


@dataclass
class Session(Access):
    """Access of a person at a terminal: what they should know is printed on the standard error stream."""

    def note(self, text: str) -> None:
        """Print a note."""
        from assay.cli.output.printing import note

        note(text)
