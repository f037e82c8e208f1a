"""Tables from metrics files: measured numbers, the paper's printed numbers, and whether the two may be compared."""
