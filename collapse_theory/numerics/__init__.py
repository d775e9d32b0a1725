"""Numerics: plans of numeric steps and the arithmetics that run them. Nothing here knows a theorem."""
