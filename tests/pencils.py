r"""The pencil of a pipeline's test error, for the engine of free probability: an independent derivation of the recursion over fits.

Each fit :math:`k` has the error :math:`\delta_k=\hat w_k-w_0` and, for every design :math:`D` it pools, the residuals
:math:`r_{k,D}`,

.. math::
   (\delta_k+w_0)-\sum_D\frac{a_D}{N_k}X_D^\top r_{k,D}=0,\qquad
   \lambda_kr_{k,D}+X_D\Big(\delta_k-\sum_lc_{D,l}\delta_l+\big(1-\sum c_D\big)w_0\Big)=\xi_D .

The system :math:`Q`, its transpose and the test covariance between them give :math:`P^\top\Sigma_{\rm test}P` with
:math:`\delta_K=P\,(w_0,\varepsilon)`: the bias is its quadratic form in :math:`w_0`, and every noise source adds :math:`\sigma_i^2`
times the trace of its own block.

Source: the pencil of a regression, Subramonian, Dohmatob, auto-fpt: Automating Free Probability Theory Calculations for Machine
Learning Theory, 2025.
"""

from __future__ import annotations

import numpy as np
from sympy import Expr, S, sqrt

from collapse_theory import symbols
from collapse_theory.derive.pooled import PooledSystem
from collapse_theory.engine.letters import GaussianMatrix
from collapse_theory.engine.pencil import Block, Letter, Pencil
from collapse_theory.engine.triangular import structure_of
from collapse_theory.numerics.limits import entry_or_limit
from collapse_theory.numerics.measure import Measure
from collapse_theory.symbols import eigenvalue_of


def by_free_probability(system: PooledSystem, spectra: dict[str, np.ndarray], energies: np.ndarray) -> dict[str, float]:
    """Return bias and variance of a system of numbers by the engine's fixed point, solved along the structure of the pencil."""
    pencil, noises = error_pencil(system)
    structure = structure_of(pencil)
    spaces = {p: Measure({}, np.array([float(p)])) for p in pencil.dimensions if p != symbols.d}
    spaces[symbols.d] = Measure(spectra, np.ones(len(energies), dtype=int))

    def entry(name):
        return entry_or_limit(
            structure, spaces, {symbols.d: len(energies)}, (pencil.outputs[name], pencil.inputs[name])
        )[0]

    return {
        "bias": float((energies * entry("w0")).sum()),
        "variance": sum(float(sigma2) * float(np.ravel(entry(name))[0]) for name, sigma2 in noises.items()),
    }


def error_pencil(system: PooledSystem) -> tuple[Pencil, dict[str, Expr]]:
    """Return the pencil, and the variance of all rows, ``sigma_i^2 T_i``, by the name of the result of each noise source."""
    sources = {e.sample: (e.sigma, x.T) for f in system.fits for x in f.designs for e in x.noises}
    dimensions: list[Expr] = [symbols.d]
    error_of, residual_of, noise_of = {}, {}, {}
    for k, f in enumerate(system.fits):
        error_of[k] = len(dimensions)
        dimensions.append(symbols.d)
        for n, design in enumerate(f.designs):
            residual_of[k, n] = len(dimensions)
            dimensions.append(design.T)
    for i, (_, T) in sorted(sources.items()):
        noise_of[i] = len(dimensions)
        dimensions.append(T)
    half = {(i, i): Block(S.One) for i in (0, *noise_of.values())}
    for k, f in enumerate(system.fits):
        w = error_of[k]
        half |= {(w, w): Block(S.One), (w, 0): Block(S.One)}
        for n, design in enumerate(f.designs):
            r = residual_of[k, n]
            Z, root = GaussianMatrix(f"Z_{design.inputs}", design.T, symbols.d), sqrt(eigenvalue_of(design.covariance))
            X = Letter(Z, transposed=False, right=root)
            half[w, r] = Block(random={X.transpose: -design.weight / f.N})
            half[r, r] = Block(f.ridge)
            half[r, w] = Block(random={X: S.One})
            for at, c in design.labellers:
                half[r, error_of[at]] = Block(random={X: -c})
            surplus = 1 - design.truth - sum((c for _, c in design.labellers), S.Zero)
            if surplus != 0:
                half[r, 0] = Block(random={X: surplus})
            for e in design.noises:
                half[r, noise_of[e.sample]] = Block(-e.share)
    n = len(dimensions)
    blocks = {key: b for key, b in half.items() if b}
    blocks |= {(n + j, n + i): b.transpose for (i, j), b in blocks.items()}
    last = error_of[len(system.fits) - 1]
    blocks[n + last, last] = Block(-eigenvalue_of(system.test_covariance))
    inputs = {"w0": 0} | {f"noise {i}": j for i, j in noise_of.items()}
    outputs = {name: n + i for name, i in inputs.items()}
    pencil = Pencil(tuple(dimensions * 2), blocks, inputs, outputs, {symbols.d: system.covariances})
    return pencil, {f"noise {i}": sigma**2 * T for i, (sigma, T) in sorted(sources.items())}
