"""Reconcilers of tracking: experiments, runs, and the record of a run."""
