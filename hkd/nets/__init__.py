"""Networks: U-Nets in two halves, their preconditioning, and a small feature network."""
