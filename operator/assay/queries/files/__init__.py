"""Questions about files: what a run or a version has in the store, and whether it is intact."""
