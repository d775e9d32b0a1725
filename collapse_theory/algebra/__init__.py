"""Algebra: integrals over a spectrum, implicit scalars, and what SymPy needs to handle such opaque objects."""
