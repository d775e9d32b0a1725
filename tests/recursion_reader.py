"""Read a printed recursion over fits, line by line, and solve it: a reader of matrices who knows nothing of how it is derived."""

import re

import numpy as np

from tests.latex_reader import Reader

__all__ = ["read_recursion", "solve_recursion"]


def solve_recursion(C, sees, rows, noises, total, kappa, s, w2, *, relabelled=False):
    """Solve the equations of the matrices over fits by repeated substitution.

    For each design its rows, whether each fit sees it, labels and noise covariance; for each fit its rows and effective ridge.
    Where a design is relabelled, fits learn from others that saw the same rows: the diagonal of theta counts.
    """
    K, T = len(total), np.array(total, dtype=float)
    A = [s / (s + k) for k in kappa]
    sees = np.array(sees, dtype=float)
    theta, Q = np.zeros((K, K)), np.zeros((K, K))
    before = Q - 1
    while np.abs(Q - before).max() > 1e-14 * np.abs(Q).max():
        before = Q
        L = [
            np.linalg.inv(np.eye(K) + np.outer(m, m) * (c @ theta) - np.diag(np.diag(theta))) * np.outer(m, m)
            for c, m in zip(C, sees, strict=True)
        ]
        g = sum((t / T)[:, None] * (one @ c) for t, one, c in zip(rows, L, C, strict=True))
        responses = np.zeros((K, K, len(s)))
        F = np.zeros((K, len(s)))
        for k in range(K):
            responses[k, k], F[k] = A[k], 1 - A[k] - A[k] * sum(g[k, i] * F[i] for i in range(k))
            for other in range(k):
                responses[k, other] = -A[k] * sum(g[k, i] * responses[i, other] for i in range(other, k))
        theta = np.tril(responses.sum(-1) / T, 0 if relabelled else -1)
        V = [one @ (c @ Q @ c.T + x) @ one.T for one, c, x in zip(L, C, noises, strict=True)]
        h = sum(t * v for t, v in zip(rows, V, strict=True)) / np.outer(T, T)
        Q = np.einsum("ks,ls,s->kl", F, F, s * w2) + np.einsum("kis,ljs,ij->kl", responses, responses, h)
    return Q[-1, -1]


def read_recursion(text, values, s, w2):
    """Return the error that a printed recursion gives at numbers for all symbols, by printed name."""
    lines = [x.removesuffix(r" \\") for x in text.splitlines()]
    start = next(i for i, x in enumerate(lines) if x.startswith("E &="))
    end = next(i for i, x in enumerate(lines) if x.startswith((r"&\text{for", r"\end{aligned}")))
    page = _Page(values, s)
    K = page.places(re.fullmatch(r"E &= Q_\{(.*?)\}(?: .*)?", lines[start])[1])[0]
    designs, total, kappa = {}, {}, {}
    for line in lines[start + 6 : end]:
        head, _, note = line.partition(r" \quad \text{(")
        for at in page.span(note):
            page.values.update(at)
            if line.startswith("N_"):
                k, total_k, kappa_k = page.fit(head)
                assert k not in total
                total[k], kappa[k] = total_k, kappa_k
            elif line.startswith("T_"):
                place, design = page.design(head, page.seers(note), K)
                assert place not in designs
                designs[place] = design
            else:
                page.relabelled(head, designs)
    assert sorted(total) == sorted(kappa) == list(range(1, K + 1))
    assert sorted(designs) == list(range(1, len(designs) + 1))
    relabelled = any(r"\operatorname{diag}" in x for x in lines)
    assert (r"I - \operatorname{diag} \theta + C_D \theta" if relabelled else r"I + C_D \theta\right") in text
    found = [designs[place] for place in sorted(designs)]
    C, sees, rows, noises = ([d[name] for d in found] for name in ("C", "sees", "rows", "noises"))
    assert not any(np.isnan(x).any() for x in (*C, *noises))
    order = range(1, K + 1)
    return solve_recursion(
        C, sees, rows, noises, [total[k] for k in order], [kappa[k] for k in order], s, w2, relabelled=relabelled
    )


class _Page:
    """What is known while the lines are read."""

    def __init__(self, values, s):
        self.values, self.s = dict(values), s

    def read(self, text):
        return Reader(self.values, {r"\Sigma": self.s}, None).read(text)

    def places(self, text):
        """Return the indices in a subscript: with a comma, or a letter or digit each."""
        parts = text.split(",") if "," in text else list(text) if len(text) == 2 else [text]
        return [round(self.read(x)) for x in parts]

    def span(self, note):
        """Return the values of the index for which a line is meant."""
        found = re.search(r"\} (\w) = (\d+) \\text\{ to \} (.*?) \\text\{", note)
        if found is None:
            return [{}]
        last = self.places(found[3])[0] if len(found[3]) == 1 else round(self.read(found[3]))
        return [{found[1]: float(x)} for x in range(int(found[2]), last + 1)]

    def seers(self, note):
        words = re.search(r"seen by (?:the fits|fit) (.*)\)\}$", note)[1]
        words = words.replace(r"\text{", " ").replace("} ", " ").replace("}", " ")
        out = []
        for part in words.split(","):
            ends = [round(self.read(x)) for x in part.split(" to ")]
            out += range(ends[0], ends[-1] + 1)
        return out

    def fit(self, head):
        rows, equation = head.split(r",\quad ")
        place, right = re.fullmatch(r"N_\{(.*?)\} &= (.*)", rows).groups()
        name, update = re.fullmatch(r"(\\kappa_\{.*?\}) = (.*)", equation).groups()
        assert name == rf"\kappa_{{{place}}}"
        N = self.read(right)
        update = update.replace(name, "x").replace(rf"N_{{{place}}}", "y")
        self.values["x"], self.values["y"] = 10 * self.s.sum(), N
        before = None
        while before is None or abs(before - self.values["x"]) > 1e-15 * before:
            before, self.values["x"] = self.values["x"], self.read(update)
        return round(self.read(place)), N, self.values["x"]

    def design(self, head, seers, K):
        rows, *known = head.split(r",\quad ")
        place, right = re.fullmatch(r"T_\{(.*?)\} &= (.*)", rows).groups()
        sees = np.isin(np.arange(1, K + 1), seers)
        out = {"rows": self.read(right), "sees": sees, "C": np.full((K, K), np.nan), "noises": np.zeros((K, K))}
        if len(known) == 2:
            index, row = re.fullmatch(r"\\left\(C_\{(.*?)\}\\right\)_\{kl\} = (.*)", known[0]).groups()
            noise = known[1].removeprefix(rf"\sigma_{{{place}}}^2 = ")
            if noise == known[1]:
                noise = re.fullmatch(rf"\\Xi_\{{{place}\}} = (.*) 1 1\^\\top", noise)[1]
            assert index == place
            for k in range(1, K + 1):
                out["C"][k - 1] = self.row(row, {"k": float(k)}, K)
            out["noises"][:] = self.read(noise)
        else:
            assert known[0] in {
                rf"\Xi_{{{place}}} \text{{ diagonal}}",
                rf"\Xi_{{{place}}} = b_{{{place}}} b_{{{place}}}^\top",
                rf"\Xi_{{{place}}} = b_{{{place}}} b_{{{place}}}^\top + \operatorname{{diag}} v_{{{place}}}",
            }
            out["C"][~sees] = 0
            if "diagonal" in known[0]:
                np.fill_diagonal(out["noises"], np.nan)
            else:
                out["b"] = np.zeros(K)
        return round(self.read(place)), out

    def relabelled(self, head, designs):
        labels, *noises = head.split(r",\quad ")
        place, pair, row = re.fullmatch(r"\\left\(C_\{(.*?)\}\\right\)_\{(.*?)\} &= (.*)", labels).groups()
        k = round(self.read(pair.split(",")[0] if "," in pair else pair[0]))
        design = designs[round(self.read(place))]
        assert np.isnan(design["C"][k - 1]).all()
        design["C"][k - 1] = self.row(row, {}, len(design["C"]))
        for noise in noises:
            letter, again, at, right = re.fullmatch(
                r"\\left\((.*?)_\{(.*?)\}\\right\)_\{(.*?)\} = (.*)", noise
            ).groups()
            assert again == place
            if letter == r"\Xi":
                assert self.places(at) == [k, k]
                design["noises"][k - 1, k - 1] = self.read(right)
            else:
                assert round(self.read(at)) == k
                design["noises"][k - 1, k - 1] += self.read(right) if letter == "v" else 0
                if letter == "b":
                    design["noises"] -= np.outer(design["b"], design["b"])
                    design["b"][k - 1] = self.read(right)
                    design["noises"] += np.outer(design["b"], design["b"])

    def row(self, text, at, K):
        """Return a row of labels, a sum of Kronecker deltas in the second index ``l``."""
        kept, out = self.values, np.zeros(K)
        self.values = {**kept, **at}
        for before, place in re.findall(r"(.*?)\\delta_\{(.*?),?l\}", text):
            weight = before.strip().lstrip("+-").strip()
            sign = -1 if before.strip().startswith("-") else 1
            out[round(self.read(place)) - 1] += sign * (self.read(weight) if weight else 1)
        self.values = kept
        return out
