"""One folder for each question that a reader asks of finished runs."""
