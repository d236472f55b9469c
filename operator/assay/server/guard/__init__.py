"""Checks of every request and headers of every response, before any route runs."""
