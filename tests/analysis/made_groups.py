"""Made trials, and a mixed model fitted without any library for them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

Array = NDArray[np.float64]


def trial(
    n: int = 20,
    *,
    visits: tuple[Any, ...] = ("pre", "post"),
    effect: float = 0.0,
    between: float = 3.0,
    noise: float = 2.0,
    trend: float = -1.0,
    slope: float = 0.0,
    lost: float = 0.0,
    arms: tuple[str, ...] = ("active", "sham"),
    seed: int = 0,
) -> list[dict[str, Any]]:
    """Patients in arms by turns; `effect` is what the first arm gains from first to last visit."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(n):
        arm = arms[i % len(arms)]
        level, own = rng.normal(20.0, between), rng.normal(0.0, slope)
        gone = rng.random() < lost
        for k, visit in enumerate(visits):
            share = k / max(len(visits) - 1, 1)
            gain = effect * share if arm == arms[0] else 0.0
            value = level + (trend + own) * k + gain + rng.normal(0.0, noise)
            missing = gone and k == len(visits) - 1
            rows.append(
                {
                    "subject": f"P{i:02d}",
                    "arm": arm,
                    "time": visit,
                    "score": None if missing else value,
                }
            )
    return rows


def crossover(
    n: int = 12,
    *,
    effect: float = 2.0,
    period: float = 1.0,
    carry: float = 0.0,
    orders: tuple[tuple[str, ...], ...] = (("active", "sham"), ("sham", "active")),
    seed: int = 0,
) -> list[dict[str, Any]]:
    """Patients who have every condition, in one of the orders."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(n):
        level = rng.normal(10.0, 3.0)
        order = orders[i % len(orders)]
        for k, arm in enumerate(order):
            value = level + period * k + (effect if arm == "active" else 0.0) + rng.normal()
            value += carry if k and order[k - 1] == "active" else 0.0
            rows.append({"subject": f"P{i:02d}", "arm": arm, "period": k + 1, "score": value})
    return rows


def reml(y: Array, design: Array, subjects: Any, random: Array) -> tuple[Array, Array, float]:
    """Fixed effects, their standard errors and the restricted log-likelihood.

    Straight from the definition: the covariance of each patient's values is written out as a
    matrix, and the variances are searched by a simplex over the Cholesky factor.
    """
    labels = np.unique(np.asarray(subjects))
    blocks = [np.flatnonzero(np.asarray(subjects) == label) for label in labels]
    q, p = random.shape[1], design.shape[1]
    lower = np.tril_indices(q)

    def parts(params: Array) -> tuple[Array, Array, float]:
        root = np.zeros((q, q))
        root[lower] = params[:-1]
        noise = np.exp(params[-1])
        a, b, log_det, quad = np.zeros((p, p)), np.zeros(p), 0.0, 0.0
        for rows in blocks:
            z = random[rows] @ root
            v = z @ z.T + noise * np.eye(rows.size)
            log_det += np.linalg.slogdet(v)[1]
            inverse = np.linalg.inv(v)
            a += design[rows].T @ inverse @ design[rows]
            b += design[rows].T @ inverse @ y[rows]
            quad += y[rows] @ inverse @ y[rows]
        beta = np.linalg.solve(a, b)
        constant = (y.size - p) * np.log(2.0 * np.pi)
        whole = constant + log_det + np.linalg.slogdet(a)[1] + quad - b @ beta
        return beta, np.sqrt(np.diag(np.linalg.inv(a))), -0.5 * float(whole)

    spread = float(np.std(y))
    start = np.append(0.7 * spread * np.eye(q)[lower], np.log(0.4 * spread**2))
    found = start
    for _ in range(3):
        options = {"xatol": 1e-9, "fatol": 1e-11, "maxiter": 20_000, "maxfev": 20_000}
        found = minimize(lambda x: -parts(x)[2], found, method="Nelder-Mead", options=options).x
    return parts(found)
