"""Features of images: extractors, and the preprocessing of each."""
