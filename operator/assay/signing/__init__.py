"""Signatures that third parties can verify without Assay: the provenance of runs and the bytes of registered models.

Both formats are standard: DSSE envelopes around in-toto statements, and the bundles of OpenSSF model signing.
Keys are P-256 and are read from files. This package does not call the Kubernetes API. docs/provenance.md describes the
formats.
"""
