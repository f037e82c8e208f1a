"""Controls that no paper names: what a score says of them is about the score."""
