"""Spectral integrals and implicit scalars: the two opaque objects every deterministic equivalent is made of."""
