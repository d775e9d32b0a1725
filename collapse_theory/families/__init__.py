"""Families of models: each gives the theory and the sampler of a pipeline."""
