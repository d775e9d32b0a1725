"""Without JAX, an optional extra, its modules and its page have no doctests to run."""

from importlib.util import find_spec

collect_ignore_glob = [] if find_spec("jax") else ["collapse_theory/numerics/jax_*.py", "docs/backends.md"]
