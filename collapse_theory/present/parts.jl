# The parts of exported Julia source, those of numpy_parts.py one by one; each is copied as it stands here.

"Return kappa >= 0 with kappa - lam = kappa df1(kappa) / T, where df1 = sum s / (s + kappa); its limit at lam = 0."
function effective_ridge(s, T, lam)
    rank = count(s .> 0)
    if lam == 0 && T >= rank
        return 0.0
    end
    kappa = lam + sum(s) / T  # above the root; the equation is convex, so that Newton's steps descend to it
    for _ in 1:3000
        large, small = s[s .>= kappa], s[s .< kappa]  # T - df1 without cancellation, whether kappa is small or large
        rest = (T - length(large)) + sum(kappa ./ (large .+ kappa)) - sum(small ./ (small .+ kappa))
        slope = rest + sum(kappa .* s ./ (s .+ kappa) .^ 2)
        below = kappa - (kappa * rest - T * lam) / slope
        if !(max(below, lam) < kappa * (1 - 1e-15))
            return kappa
        end
        kappa = max(below, lam)
    end
    error("the effective ridge does not settle at T=$T, lam=$lam; it is near $kappa")
end

"Return T - df2(kappa), as a sum of positive terms."
function residual_degrees(s, T, lam, kappa)
    out = kappa == 0 ? T - count(s .> 0) : T * lam / kappa + sum(kappa .* s ./ (s .+ kappa) .^ 2)
    if out == 0
        error("without a ridge T needs to differ from the rank, got T=$T: the error is infinite there")
    end
    return out
end

"Return the effective ridge x of a fit on m random features: x - lam = x df1(kappa) / T, kappa - x = kappa df1(kappa) / m."
function feature_ridge(s, T, m, lam)
    a, b = min(T, m), max(T, m)  # rows and features enter alike
    y = lam > 0 ? lam + sum(s) / b : 0.0  # above the root of a convex equation
    for _ in 1:3000
        kappa = effective_ridge(s, a, y)
        if y == 0
            return m <= T ? 0.0 : kappa * feature_rest(s, a, m, y, kappa) / m
        end
        rest = (b - a) + a * y / kappa
        spread = sum(s ./ (s .+ kappa) .^ 2)
        slope = rest + y * a * spread / (a * y / kappa + kappa * spread)
        below = y - (y * rest - b * lam) / slope
        if !(max(below, lam) < y * (1 - 1e-15))
            return m <= T ? y : kappa * feature_rest(s, a, m, y, kappa) / m
        end
        y = max(below, lam)
    end
    error("the ridge of the features does not settle at T=$T, m=$m, lam=$lam; it is near $y")
end

"Return m - df1(kappa), as a sum of positive terms."
function feature_rest(s, a, m, y, kappa)
    return (m - a) + (kappa > 0 ? a * y / kappa : a - count(s .> 0))
end

"Return T - df2 of the features at their effective ridge, as a sum of positive terms."
function feature_residual(s, T, m, lam, ridge)
    kappa = effective_ridge(s, m, ridge)
    spread = sum(s ./ (s .+ kappa) .^ 2)
    features = kappa > 0 ? m * ridge / kappa : m - count(s .> 0)  # m - df1
    rows = ridge > 0 ? T * lam / ridge : T - (m - features)  # T - df1
    out = rows + (kappa > 0 ? kappa * features / (features + kappa * spread) * spread : 0.0)
    if out == 0
        error("without a ridge T needs to differ from m and from the rank, got T=$T, m=$m: the error is infinite")
    end
    return out
end

"Return the positive x with x = sides(x), each side increasing: Newton's steps in log x, after plain ones."
function fixed_point(sides, count)
    x = ones(count)
    for step in 1:500
        f = sides(x)
        if !all(isfinite.(f) .& (f .> 1e-200))  # without a ridge they go to zero
            break
        end
        if all(abs.(f .- x) .<= 2e-16 .* x)
            return f
        end
        if step <= 8
            x = f
            continue
        end
        h, slopes = 1e-6, zeros(count, count)
        for j in 1:count
            up, down = copy(x), copy(x)
            up[j] *= 1 + h
            down[j] *= 1 - h
            slopes[:, j] = (log.(sides(up)) .- log.(sides(down))) ./ (2 * h)
        end
        unit = [i == j ? 1.0 : 0.0 for i in 1:count, j in 1:count]
        change = (unit - slopes) \ log.(f ./ x)
        if count == 1  # f / x decreases, so that its sign says where the root is
            change = sign.(f .- x) .* abs.(change)
        end
        x = x .* exp.(clamp.(change, -2, 2))
        if all(abs.(change) .< 1e-11)
            return x
        end
    end
    error("the equations of a fit do not settle, the last values are $x; give it a positive ridge")
end

"""
Return bias and variance of the last of several fits that share inputs.

`fits` are pairs (rows, ridge); `designs` are (rows, runs of fits that see it, labels, whether all of them see the same
labels), where labels are a list of (labeller, coefficient), the variance of a noise of the fit's own and the amplitude of one
that all of them share, one for each fit or one for all.
"""
function shared_designs(s, w2, fits, designs)
    K, N = length(fits), [float(rows) for (rows, _) in fits]
    for (rows, ridge) in fits
        if ridge == 0 && rows == count(s .> 0)
            error("without a ridge rows need to differ from the rank, got $rows: the error is infinite there")
        end
    end
    shared = [design_matrices(K, design...) for design in designs]
    A, F, L = design_responses(s, fits, N, shared)
    pairs = N * N'
    function total(signal, noise)
        Q = zeros(K, K)
        for k in 1:K, other in 1:k
            form = sum(w2 .* s .* F[k, :] .* F[other, :])
            overlap = A[k, :, :] * A[other, :, :]'
            function moment(x)
                Q[k, other] = Q[other, k] = x
                rows = sum(T * one * (C * Q * C' + noise * Xi) * one' for (one, (T, _, C, Xi)) in zip(L, shared))
                return signal * form + sum(overlap .* rows ./ pairs)
            end
            Q[k, other] = Q[other, k] = linear_root(moment)
        end
        return Q[K, K]
    end
    return total(1.0, 0.0), total(0.0, 1.0)
end

"Return the rows of a design, which pairs of fits see it, their labels C and the covariance of their label noises."
function design_matrices(K, T, runs, labels, same)
    seers = [k for (first, last) in runs for k in Int(first):Int(last)]
    mask, b, C, Xi = zeros(K), zeros(K), zeros(K, K), zeros(K, K)
    mask[seers] .= 1
    for (i, k) in enumerate(seers)
        row, variance, amplitude = same ? labels[1] : labels[i]
        b[k] = amplitude
        C[k, k] += 1
        Xi[k, same ? seers : [k]] .= variance
        for (labeller, coefficient) in row
            C[k, Int(labeller)] -= coefficient
        end
    end
    return T, mask * mask', C, Xi + b * b'
end

"Return the responses A of fits to fits, what the means F of the fits miss, and the responses L of the rows of each design."
function design_responses(s, fits, N, shared)
    K, kappas = length(fits), [effective_ridge(s, rows, ridge) for (rows, ridge) in fits]
    theta, g, A, F = zeros(K, K), zeros(K, K), zeros(K, K, length(s)), zeros(K, length(s))
    unit = [i == j ? 1.0 : 0.0 for i in 1:K, j in 1:K]
    function rows()
        return [inv(unit + sees .* (C * theta - unit .* theta)) .* sees for (_, sees, C, _) in shared]
    end
    for k in 1:K
        A[k, k, :] = s ./ (s .+ kappas[k])
        theta[k, k] = sum(A[k, k, :]) / N[k]
        for other in k-1:-1:1
            function response(x)
                theta[k, other] = x
                g[:, :] = sum(T * (one * C) for (one, (T, _, C, _)) in zip(rows(), shared)) ./ N
                A[k, other, :] = -A[k, k, :] .* sum(g[k, i] .* A[i, other, :] for i in other:k-1)
                return sum(A[k, other, :]) / N[other]
            end
            response(linear_root(response))
        end
        F[k, :] = kappas[k] ./ (s .+ kappas[k])
        for i in 1:k-1
            F[k, :] -= A[k, k, :] .* g[k, i] .* F[i, :]
        end
    end
    return A, F, rows()
end

"Return the x with x = f(x), where f is linear."
function linear_root(f)
    start = f(0.0)
    return start / (1 - (f(1.0) - start))
end

"Return Gamma(x) for x > 0."
function gamma(x)
    y = max(0, ceil(20 - x))
    return sqrt(2 * pi) * exp((x + y - 0.5) * log(x + y) - (x + y) + stirling(x + y)) * gamma_ratio(x + y, -y)
end

"Return the series log Gamma(x) - (x - 1/2) log x + x - log(2 pi) / 2 for large x."
function stirling(x)
    x = float(x)  # powers of whole numbers overflow
    return 1 / (12 * x) - 1 / (360 * x^3) + 1 / (1260 * x^5) - 1 / (1680 * x^7) + 1 / (1188 * x^9)
end

"Return Gamma(x + h) / Gamma(x) by Stirling's series, whose large terms are subtracted before they are large."
function gamma_ratio(x, h)
    x = float(x)  # powers of whole numbers overflow
    ratio = 1.0
    while min(x, x + h) < 20
        ratio *= x / (x + h)
        x += 1
    end
    y = x + h
    return ratio * exp((y - 0.5) * log1p(h / x) + h * log(x) - h + stirling(y) - stirling(x))
end

"Return psi(x + h) - psi(x), without the difference of two nearby values."
function digamma_difference(x, h)
    x = float(x)  # powers of whole numbers overflow
    total = 0.0
    while min(x, x + h) < 20
        total += h / (x * (x + h))
        x += 1
    end
    y = x + h
    rest(z) = 1 / (12 * z^2) - 1 / (120 * z^4) + 1 / (252 * z^6) - 1 / (240 * z^8) + 1 / (132 * z^10)
    return total + log1p(h / x) + h / (2 * x * y) - (rest(y) - rest(x))
end

"Return the derivative of order `order` of psi at x > 0."
function polygamma(order, x)
    x = float(x)  # powers of whole numbers overflow
    if order == 0
        total = 0.0
        while x < 20
            total -= 1 / x
            x += 1
        end
        rest = 1 / (12 * x^2) - 1 / (120 * x^4) + 1 / (252 * x^6) - 1 / (240 * x^8) + 1 / (132 * x^10)
        return total + log(x) - 1 / (2 * x) - rest
    end
    q, total = order + 1, 0.0
    while x < 20
        total += 1 / x^q
        x += 1
    end
    total += 1 / (x^order * order) + 1 / (2 * x^q)
    term = q / (2 * x^(q + 1))
    for (k, number) in enumerate((1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730))
        total += number * term
        term *= (q + 2 * k - 1) * (q + 2 * k) / ((2 * k + 1) * (2 * k + 2)) / x^2
    end
    return (-1)^(order + 1) * prod(1.0:order) * total
end

"Return the sum of (1 - x)^k over k = 0, ..., n - 1."
function geometric_sum(x, n)
    return x == 0 ? n : x == 1 ? 1 - 0.0^n : -expm1(n * log1p(-x)) / x
end

"Return the sum of 1 / i^power over i = 1, ..., n."
function harmonic(n, power=1)
    return sum(1 / float(i)^power for i in 1:Int(n); init=0.0)
end
