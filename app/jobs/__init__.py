"""Background work: fetching, scoring and deleting runs, and more; and the runner that executes such jobs."""
