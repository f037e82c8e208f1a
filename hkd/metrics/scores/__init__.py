"""Features to numbers."""
