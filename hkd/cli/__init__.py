"""The `hkd` command: one file of commands per file of rules."""
