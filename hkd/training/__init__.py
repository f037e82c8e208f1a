"""The training loop, its optimisers and averages, and the states that it saves."""
