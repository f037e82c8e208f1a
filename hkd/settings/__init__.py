"""What may stand in configs/: read, merged and checked."""
