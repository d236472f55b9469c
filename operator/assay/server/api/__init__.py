"""The JSON API, /api/v1: one module a subject, each with a table of its operations."""
