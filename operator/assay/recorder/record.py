"""What a collector adds points, parameters and tags to. It is shared with the operator, which reads printed metrics."""

from assay.store.points.record import Record, quote, shorten

__all__ = ["Record", "quote", "shorten"]
