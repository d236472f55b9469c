"""Signatures that others can verify without us: provenance of runs, and the bytes of registered models.

Two formats, neither of our making: DSSE envelopes around in-toto statements, and the bundles of OpenSSF model signing.
Keys are P-256 and come from files. Nothing here talks to the Kubernetes API. docs/provenance.md has the formats.
"""
