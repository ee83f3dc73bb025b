"""Export to files that other programs read, and import of such files without loss."""
