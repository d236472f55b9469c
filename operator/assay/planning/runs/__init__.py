"""From a Run to its Job, and from what its Job and pods report to its status."""
