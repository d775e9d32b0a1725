"""A naive simulation for the tests: every sample and fit by its definition, many runs at once, without the package.

A family is a class with ``draw``, ``mix`` and ``fit``; :func:`errors` walks the nodes of a pipeline of numbers with it.
"""

from __future__ import annotations

import math

import numpy as np

import collapse_theory as ct


def errors(pipe, family, runs, seed, model=None, chunk=250):
    """Return the error of the tested fit in each of ``runs`` independent runs."""
    rng = np.random.default_rng(seed)
    sizes = [min(chunk, runs - i) for i in range(0, runs, chunk)]
    tested = (
        [(pipe.fits[-1] if model is None else model, 1)] if model is None or isinstance(model, ct.Fit) else list(model)
    )

    def one(size):
        fits = one_batch(pipe, family, size, rng)
        models = [(float(c), fits[m.index] if isinstance(m, ct.Fit) else family.truth) for m, c in tested]
        return family.error(models[0][1] if len(models) == 1 and models[0][0] == 1 else family.mix(models))

    return np.concatenate([one(size) for size in sizes])


def inside(pipe, family, runs, seed, model=None, chunk=250):
    """Return training error and generalised cross-validation of a fit in each of ``runs`` independent runs."""
    rng = np.random.default_rng(seed)
    f, found = pipe.fits[-1] if model is None else model, []
    for size in [min(chunk, runs - i) for i in range(0, runs, chunk)]:
        rows = {}
        fitted = one_batch(pipe, family, size, rng, rows)[f.index]
        weights = [float(a) for a in f.weights]
        found.append(family.inside([rows[s.index] for s in f.samples], weights, float(f.ridge or 0), fitted))
    return [np.concatenate(x) for x in zip(*found, strict=True)]


def one_batch(pipe, family, runs, rng, rows=None):
    """Return the fits of ``runs`` runs by the position of the fit; the rows of the samples are put into ``rows``."""
    family.start(runs, rng)
    rows, fits, maps = {} if rows is None else rows, {}, {}

    def known(m):
        return fits[m.index] if isinstance(m, ct.Fit) else family.truth

    for node in pipe.nodes:
        if isinstance(node, ct.Fit):
            weights = [float(a) for a in node.weights]
            pooled = [rows[s.index] for s in node.samples]
            if node.filter is not None:
                fits[node.index] = family.stopped(pooled, weights, node.filter)
                continue
            how = {}
            if node.features is not None:
                shared = node.features in maps
                how["maps"] = maps[node.features] if shared else family.maps(int(node.features), rng)
            fits[node.index] = family.fit(pooled, weights, float(node.ridge or 0), rng, **how)
        elif hasattr(node, "m"):
            maps[node] = family.maps(int(node.m), rng)
        elif node.pool:
            rows[node.index] = family.subset([rows[s.index] for s in node.pool], int(node.T), rng)
        elif hasattr(node.source, "labellers"):
            rows[node.index] = family.one_of([known(m) for m in node.source.labellers], int(node.T), rng)
        else:
            mixed = family.mix([(float(c), known(m)) for m, c in node.source if not hasattr(m, "sample")])
            again = [(float(c), rows[m.sample.index]) for m, c in node.source if hasattr(m, "sample")]
            earlier = None if node.design is None else rows[node.design.index]
            drawn = family.draw(mixed, int(node.T), rng, float(node.noise or 0), earlier, node.covariance)
            rows[node.index] = family.relabelled(drawn, again) if again else drawn
    return fits


def agrees(sample, want, allowance=0.0, sem=0.0):
    """Return whether a mean of errors is the wanted value up to four standard errors and a relative finite-size allowance.

    A wanted value that is itself a mean of runs has a standard error too.
    """
    sem = math.hypot(sample.std(ddof=1) / math.sqrt(len(sample)), sem)
    return abs(sample.mean() - want) <= 4 * sem + allowance * abs(want)


def streams(trials, seed=0):
    """Return the random numbers of every trial of a simulation of the package."""
    return [np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(i,))) for i in range(trials)]


class Rows:
    """What the three families of densities share: rows are the second axis."""

    def one_of(self, models, T, rng):
        """Return rows whose labeller is drawn at random, each row on its own."""
        each = [self.draw(m, T, rng) for m in models]
        pick = rng.integers(len(models), size=each[0].shape[:2])
        return np.choose(pick.reshape(pick.shape + (1,) * (each[0].ndim - 2)), each)

    def subset(self, pool, T, rng):
        """Return rows drawn one by one from the pool, none twice."""
        rows = np.concatenate(pool, axis=1)
        order = rng.permuted(np.tile(np.arange(rows.shape[1]), (len(rows), 1)), axis=1)[:, :T]
        return np.take_along_axis(rows, order.reshape(order.shape + (1,) * (rows.ndim - 2)), axis=1)


def shares(samples, weights):
    """Return the share of every row of pooled samples."""
    a = np.repeat(weights, [s.shape[1] for s in samples])
    return a / a.sum()


class Tokens(Rows):
    """Token frequencies; rows are token numbers. The error is in units of ``1 - sum p^2``."""

    def __init__(self, p):
        self.p = np.asarray(p, dtype=float)

    def start(self, runs, rng):
        self.truth = np.tile(self.p, (runs, 1))

    def mix(self, terms):
        return sum(c * m for c, m in terms)

    def draw(self, model, T, rng, *_):
        edges = model.cumsum(axis=1)[:, None, :-1]
        return (rng.random((len(model), T, 1)) > edges).sum(axis=2)

    def fit(self, samples, weights, ridge, rng):
        hot = np.concatenate(samples, axis=1)[:, :, None] == np.arange(len(self.p))
        return np.einsum("rtv,t->rv", hot, shares(samples, weights))

    def error(self, model):
        return ((model - self.p) ** 2).sum(axis=1) / (1 - (self.p**2).sum())


class Gaussians(Rows):
    """Mean and covariance by maximum likelihood; the truth is N(0, I). ``error`` is of the mean, over the trace."""

    def __init__(self, d):
        self.d = d

    def start(self, runs, rng):
        self.truth = np.zeros((runs, self.d)), np.tile(np.eye(self.d), (runs, 1, 1))

    def mix(self, terms):
        return sum(c * m[0] for c, m in terms), sum(c * m[1] for c, m in terms)

    def draw(self, model, T, rng, *_):
        value, vector = np.linalg.eigh(model[1])
        root = vector * np.sqrt(value.clip(0))[:, None, :]
        return model[0][:, None, :] + rng.standard_normal((len(root), T, self.d)) @ root.transpose(0, 2, 1)

    def fit(self, samples, weights, ridge, rng):
        rows, a = np.concatenate(samples, axis=1), shares(samples, weights)
        mean = np.einsum("rtd,t->rd", rows, a)
        centred = rows - mean[:, None, :]
        return mean, np.einsum("rtd,rte,t->rde", centred, centred, a)

    def error(self, model):
        return (model[0] ** 2).sum(axis=1) / self.d


class Spread(Gaussians):
    """The same fits; what is measured is the fitted variance over the true one."""

    def error(self, model):
        return np.trace(model[1], axis1=1, axis2=2) / self.d


class Locations(Rows):
    """A regular model for which leading order is the whole truth but for mixtures: the mean of q unit Gaussians."""

    def __init__(self, q, unit=1.0):
        self.q, self.unit = q, unit

    def start(self, runs, rng):
        self.truth = np.zeros((runs, self.q))

    def mix(self, terms):
        return sum(c * m for c, m in terms)

    def draw(self, model, T, rng, *_):
        return model[:, None, :] + rng.standard_normal((len(model), T, self.q))

    def fit(self, samples, weights, ridge, rng):
        return np.einsum("rtq,t->rq", np.concatenate(samples, axis=1), shares(samples, weights))

    def error(self, model):
        return (model**2).sum(axis=1) / self.q * self.unit


class Linear:
    """Ridge regression by its normal equations. A sample is inputs and labels; the truth has the energies and random signs."""

    def __init__(self, spectrum, energies, spectra=None, test=None):
        self.spectra = {None: np.asarray(spectrum, dtype=float), **(spectra or {})}
        self.energies = np.asarray(energies, dtype=float)
        self.test = self.spectra[None] if test is None else np.asarray(test, dtype=float)

    def start(self, runs, rng):
        self.truth = np.sqrt(self.energies) * rng.choice([-1.0, 1.0], (runs, len(self.energies)))

    def mix(self, terms):
        return sum((c * m for c, m in terms), np.zeros_like(self.truth))

    def draw(self, model, T, rng, noise, earlier, covariance):
        x = (
            earlier[0]
            if earlier is not None
            else rng.standard_normal((len(model), T, model.shape[1])) * np.sqrt(self.spectra[covariance])
        )
        return x, np.einsum("rtd,rd->rt", x, model) + noise * rng.standard_normal(x.shape[:2])

    def maps(self, m, rng):
        return rng.standard_normal((*self.truth.shape, m)) / math.sqrt(m)

    def relabelled(self, drawn, again):
        """Return rows to whose labels those of earlier samples on the same inputs are added."""
        return drawn[0], drawn[1] + sum(c * y for c, (_, y) in again)

    def inside(self, samples, weights, ridge, model):
        """Return the mean square of the residuals, and the same over the squared share of rows that no degree of freedom takes."""
        rows = sum(x.shape[1] for x, _ in samples)
        pooled = zip(weights, samples, strict=True)
        left = sum(a * ((y - np.einsum("rtd,rd->rt", x, model)) ** 2).sum(axis=1) for a, (x, y) in pooled) / rows
        values = np.linalg.eigvalsh(self.normal(samples, weights)[0])
        return left, left / (1 - (values / (values + ridge)).sum(axis=1) / rows) ** 2

    def normal(self, samples, weights):
        rows = sum(x.shape[1] for x, _ in samples)
        gram = sum(a * x.transpose(0, 2, 1) @ x for a, (x, _) in zip(weights, samples, strict=True)) / rows
        return gram, sum(a * np.einsum("rtd,rt->rd", x, y) for a, (x, y) in zip(weights, samples, strict=True)) / rows

    def stopped(self, samples, weights, how):
        """Gradient descent step by step, and gradient flow by so many small ones, extrapolated to none."""
        gram, moment = self.normal(samples, weights)
        if isinstance(how, ct.GradientDescent):
            return self.descended(gram, moment, float(how.step), int(how.steps))
        time, first = float(how.time), math.ceil(4 * float(how.time) * np.linalg.norm(gram, 2, (1, 2)).max())
        coarse, middle, fine = (self.descended(gram, moment, time / k, k) for k in (first, 2 * first, 4 * first))
        return (8 * fine - 6 * middle + coarse) / 3

    def descended(self, gram, moment, step, steps):
        w = np.zeros_like(moment)
        for _ in range(steps):
            w = w + step * (moment - (gram @ w[:, :, None])[:, :, 0])
        return w

    def fit(self, samples, weights, ridge, rng, maps=None):
        gram, moment = self.normal(samples, weights)
        k = gram.shape[1]
        if maps is not None:
            inner = maps.transpose(0, 2, 1) @ gram @ maps + ridge * np.eye(maps.shape[2])
            return (maps @ np.linalg.solve(inner, maps.transpose(0, 2, 1) @ moment[:, :, None]))[:, :, 0]
        distinct = sum(len(x[0]) for x in {id(x): x for x, _ in samples}.values())
        if ridge or distinct >= k:
            return np.linalg.solve(gram + ridge * np.eye(k), moment[:, :, None])[:, :, 0]
        return (np.linalg.pinv(gram, rcond=1e-10, hermitian=True) @ moment[:, :, None])[:, :, 0]

    def error(self, model):
        return ((model - self.truth) ** 2 * self.test).sum(axis=1)


class CrossValidated(Linear):
    """Ridge regression whose error is what cross-validation of its last fit says."""

    def fit(self, samples, weights, ridge, rng):
        model = super().fit(samples, weights, ridge, rng)
        _, self.validated = self.inside(samples, weights, ridge, model)
        return model

    def error(self, model):
        return self.validated


class OffsetLinear(Linear):
    """Regression with a second labeller for the synthetic rows: the truth, or a part of it, and an offset drawn once per run."""

    def __init__(self, spectrum, energies, offset, synthetic, overlap=1.0, **how):
        super().__init__(spectrum, energies, **how)
        self.offset, self.synthetic, self.overlap = np.asarray(offset, dtype=float), synthetic, overlap

    def start(self, runs, rng):
        super().start(runs, rng)
        self.moved = self.overlap * self.truth + np.sqrt(self.offset) * rng.standard_normal(self.truth.shape)
        self.count = 0

    def draw(self, model, T, rng, *how):
        self.count += 1
        return super().draw(self.moved if self.count == self.synthetic else model, T, rng, *how)


def feature_errors(spectrum, energies, offset, *, rows, synthetic, width, ridge, noise, runs, seed):
    """Return errors of ridge regression on random features; the last ``synthetic`` rows have labels off by an offset."""
    pipe = ct.Pipeline()
    pipe.fit([pipe.sample(T=T, noise=noise) for T in (rows - synthetic, synthetic) if T], ridge=ridge, features=width)
    return errors(pipe, OffsetLinear(spectrum, energies, offset, synthetic=2), runs, seed)
