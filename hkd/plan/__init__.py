"""What will run, from what, and when again. Loads neither torch nor pandas."""
