"""Methods that learn from a teacher."""
