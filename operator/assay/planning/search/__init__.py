"""The search space of an Experiment, and which runs to launch next."""
