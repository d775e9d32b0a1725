"""Simulate: Monte Carlo of any pipeline. Nothing here imports a formula, so that it can check every one of them."""
