"""What runs in the background: fetching, scoring and deleting runs; and the runner that takes such jobs."""
