"""Networks: U-Nets, their preconditioning, and a small feature network."""
