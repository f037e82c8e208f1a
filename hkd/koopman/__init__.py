"""The Koopman core: closed-form evolution, the hierarchy around it, and what its spectrum is good for."""
