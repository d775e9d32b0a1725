"""A small problem for exact arithmetic, and a larger one, in the eigenbasis, for simulation by the definition."""

import numpy as np

import collapse_theory as ct

D = 12
S = np.arange(1, D + 1) ** -1.1
ENERGY = np.linspace(2, 0.5, D)
SMALL = {"spectrum": ct.Eigenvalues(S), "target": ct.Energies(ENERGY)}
GRID = np.linspace(0.4, 1.6, 40)
SPREAD = np.linspace(1.6, 0.4, 40) / 20
LARGE = {"spectrum": ct.Eigenvalues(GRID), "target": ct.Energies(SPREAD)}
