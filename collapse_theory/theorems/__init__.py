"""The catalogue: one file per group of theorems, found by themselves."""
