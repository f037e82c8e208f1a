"""From metrics files to tables that say what was measured, what the paper printed and whether the two compare."""
