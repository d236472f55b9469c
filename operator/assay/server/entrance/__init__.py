"""The ways in: how a request becomes a person."""
