"""The reading layer: answers questions about runs, curves, lineage, history and models.

Returns typed answers and raises the errors of ``assay.api.errors``. Prints nothing and knows no exit codes.
"""
