"""Matrix expressions of the engine that several tests ask about, and their value by NumPy alone."""

from __future__ import annotations

from functools import reduce

import numpy as np
from sympy import Identity, MatAdd, MatMul, MatrixSymbol, Symbol, Transpose
from sympy.matrices.expressions.inverse import Inverse

import collapse_theory as ct
from collapse_theory.symbols import T, d, lam

Z, Sigma = ct.GaussianMatrix("Z", T, d), ct.Covariance("Sigma", d)
X = Z * ct.sqrt(Sigma)
S = X.T * X / T
R = (S + lam * Identity(d)).inv()


def dense(e, values):
    """Return the value of an expression from numbers of its symbols and, by name, its matrices; covariances are diagonal."""
    numbers = {x: v for x, v in values.items() if isinstance(x, Symbol)}
    if isinstance(e, Identity):
        return np.eye(int(e.rows.xreplace(numbers)))
    if isinstance(e, MatrixSymbol):
        return values[e.name]
    if isinstance(e, Transpose):
        return dense(e.arg, values).T
    if isinstance(e, Inverse):
        return np.linalg.inv(dense(e.arg, values))
    if isinstance(e, MatAdd):
        return sum(dense(a, values) for a in e.args)
    if isinstance(e, MatMul):
        scalar, factors = e.as_coeff_matrices()
        return float(scalar.xreplace(numbers)) * reduce(np.matmul, [dense(a, values) for a in factors])
    if e.exp.is_Integer:
        return np.linalg.matrix_power(dense(e.base, values), int(e.exp))
    return np.diag(np.diag(dense(e.base, values)) ** float(e.exp))
