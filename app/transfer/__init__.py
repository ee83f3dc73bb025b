"""Data in and out: what is kept, as files that other programs read, and back into a database unchanged."""
