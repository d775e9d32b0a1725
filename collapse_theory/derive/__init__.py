"""Derive: from a pipeline to expressions in implicit scalars and spectral integrals. Nothing here knows floats."""
