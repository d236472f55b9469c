"""Where the recorder gets metrics, parameters and tags from: one module a source, and a table of them.

A source is a `Collector` (`protocol.py`) and a row in `table.py`. `stream.Recording` polls the collectors and commits
what they add together with their positions.
"""
