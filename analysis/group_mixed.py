"""Linear mixed models: a random intercept for each patient, a random slope where there is one.

statsmodels' MixedLM is the engine, restricted maximum likelihood the criterion. Three things are
added, because trials are small and lose patients:

* Its default optimisers stop short, or report convergence far from the optimum, where patients
  hardly differ. Here Powell's method, which needs no derivatives, and a second one
  start separately and must agree on the likelihood; otherwise there is no result.
* Its p values are those of the normal distribution. Here t is used with between-within degrees of
  freedom (Schluchter and Elashoff 1990, J Stat Comput Simul 37:69-87), which for complete
  before-after data is the t test of the changes. The normal p is kept beside it.
* Its standard errors invert the observed information of means and variances together, which for
  incomplete data is up to half a percent from the usual generalised least squares ones (those of
  lme4 and nlme); here they are the usual ones.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.errors import AnalysisError
from analysis.group_tests import Estimate

__all__ = ["MixedFit", "MixedTerm", "fit_mixed", "mixed_model_class"]

Array = NDArray[np.float64]
Groups = NDArray[np.signedinteger[Any]]

AGREE = 1e-3
# Powell's own tolerances stop 0.005 short of the optimum in log-likelihood, these do not. The
# second one: with an intercept alone BFGS stops beside a boundary that the simplex reaches; with a
# slope the simplex is lost there and BFGS is not.
POWELL: dict[str, float] = {"xtol": 1e-8, "ftol": 1e-10, "maxiter": 2000}
SECOND = {"intercept": "nm", "slope": "bfgs"}
SINGULAR = 1e-4
MIN_SLOPE_TIMES = 3
INSTALL = (
    "mixed models need statsmodels: pip install 'tacs-suite[cohort]', or compare each patient's "
    "change with --design between"
)


@dataclass(frozen=True, slots=True)
class MixedTerm:
    """One fixed effect.

    Parameters
    ----------
    name : str
        Name of the term.
    estimate, se : float
        In units of the outcome.
    interval : (float, float)
        95 % interval, t with `df`.
    df : float
        Between-within degrees of freedom.
    t : float
        Statistic.
    p : float
        Two-sided, t with `df`.
    p_normal : float
        Two-sided, normal distribution; too small in small samples.
    """

    name: str
    estimate: float
    se: float
    interval: tuple[float, float]
    df: float
    t: float
    p: float
    p_normal: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "name": self.name,
            "estimate": self.estimate,
            "se": self.se,
            "ci95": list(self.interval),
            "df": self.df,
            "t": self.t,
            "p": self.p,
            "p_normal": self.p_normal,
        }


@dataclass(frozen=True, slots=True)
class MixedFit:
    """A fitted mixed model.

    Parameters
    ----------
    formula : str
        The model, in words of a formula.
    terms : tuple of MixedTerm
        Fixed effects.
    covariance : ndarray, shape (n_terms, n_terms)
        Of the fixed effects.
    intercept_sd, slope_sd, residual_sd : float or None
        Standard deviations between patients (None where not in the model) and within.
    correlation : float or None
        Of intercept and slope.
    singular : bool
        Whether a variance between patients is estimated at its boundary.
    n_subjects, n_observations : int
        Behind the fit.
    log_likelihood : float
        Restricted, of the outcome in its own unit.
    notes : tuple of str
        What must be known of the fit.
    """

    formula: str
    terms: tuple[MixedTerm, ...]
    covariance: Array
    intercept_sd: float
    slope_sd: float | None
    correlation: float | None
    residual_sd: float
    singular: bool
    n_subjects: int
    n_observations: int
    log_likelihood: float
    notes: tuple[str, ...]

    def term(self, name: str) -> MixedTerm:
        """The fixed effect of that name."""
        return next(term for term in self.terms if term.name == name)

    def estimate(self, name: str, label: str) -> Estimate:
        """A fixed effect in the form of every other estimate."""
        term = self.term(name)
        method = f"linear mixed model (REML), {self.formula}"
        return Estimate.of(label, term.estimate, term.se, term.df, method=method, n=self.n_subjects)

    def joint(self, names: Sequence[str]) -> dict[str, Any]:
        """F test of several fixed effects together."""
        from scipy.stats import f

        rows = [i for i, term in enumerate(self.terms) if term.name in names]
        values = np.array([self.terms[i].estimate for i in rows])
        inner = np.linalg.solve(self.covariance[np.ix_(rows, rows)], values)
        statistic = float(values @ inner) / len(rows)
        df = min(self.terms[i].df for i in rows)
        return {
            "terms": list(names),
            "f": statistic,
            "df": [len(rows), df],
            "p": float(f.sf(statistic, len(rows), df)),
        }

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "formula": self.formula,
            "method": "REML",
            "terms": [term.to_dict() for term in self.terms],
            "random": {
                "intercept_sd": self.intercept_sd,
                "slope_sd": self.slope_sd,
                "correlation": self.correlation,
                "residual_sd": self.residual_sd,
            },
            "singular": self.singular,
            "n_subjects": self.n_subjects,
            "n_observations": self.n_observations,
            "log_likelihood": self.log_likelihood,
            "notes": list(self.notes),
        }


def mixed_model_class() -> Any:
    """Return statsmodels' MixedLM, or say how to get it."""
    try:
        from statsmodels.regression.mixed_linear_model import MixedLM
    except ImportError as exc:
        raise AnalysisError(INSTALL) from exc
    return MixedLM


def fit_mixed(
    values: Array,
    design: Array,
    names: Sequence[str],
    subjects: Sequence[str],
    *,
    formula: str,
    slope: Array | None = None,
) -> MixedFit:
    """Fit ``values ~ design + (1 | subject)``, or with a slope ``(1 + slope | subject)``.

    Parameters
    ----------
    values : ndarray, shape (n,)
        Outcome.
    design : ndarray, shape (n, n_terms)
        Fixed effects, with the column of ones.
    names : sequence of str
        Names of the columns.
    subjects : sequence of str, shape (n,)
        Whose value it is.
    formula : str
        The fixed part, for the reader.
    slope : ndarray, shape (n,), optional
        What the random slope is on.

    Returns
    -------
    MixedFit
        With a random slope only where it is supported; the notes say which and why.

    Raises
    ------
    AnalysisError
        Without statsmodels, where the design cannot be estimated, or without convergence.
    """
    model_class = mixed_model_class()
    labels, groups = np.unique(np.asarray(subjects), return_inverse=True)
    if values.size <= labels.size:
        raise AnalysisError("a mixed model needs patients with more than one value")
    if np.linalg.matrix_rank(design) < design.shape[1]:
        raise AnalysisError(
            f"the model {formula} cannot be estimated from these visits and arms: a combination "
            "has no values"
        )
    scale = float(np.std(values))
    # A rounding residue beside large values is not a spread.
    if not scale > 1e-12 * max(1.0, float(np.abs(values).max())):
        raise AnalysisError("the outcome does not vary")
    scaled = (values - values.mean()) / scale
    notes: list[str] = []
    if slope is not None:
        span = float(np.ptp(slope))
        random = np.column_stack([np.ones(values.size), (slope - slope.min()) / span])
        try:
            found = _optimum(model_class, scaled, design, groups, random)
        except _NotConvergedError as exc:
            notes.append(f"random slope: {exc}; the model has a random intercept alone")
        else:
            if not _singular(found):
                whole = f"{formula} + (1 + time | subject)"
                return _result(found, values, scale, design, names, groups, whole, notes, span=span)
            notes.append(
                "random slope: the data support none (its variance is at the boundary); the model "
                "has a random intercept alone"
            )
    try:
        found = _optimum(model_class, scaled, design, groups, None)
    except _NotConvergedError as exc:
        raise AnalysisError(f"the mixed model did not converge: {exc}") from exc
    return _result(
        found, values, scale, design, names, groups, f"{formula} + (1 | subject)", notes, span=None
    )


class _NotConvergedError(Exception):
    """An optimiser gave up, or two of them disagree."""


def _optimum(
    model_class: Any, values: Array, design: Array, groups: Groups, random: Array | None
) -> Any:
    """The fit at the restricted maximum likelihood, found twice."""
    fits = []
    with warnings.catch_warnings():
        # Whatever statsmodels warns of is judged below, from the results.
        warnings.simplefilter("ignore")
        second = SECOND["intercept" if random is None else "slope"]
        for method, options in (("powell", POWELL), (second, {"maxiter": 2000})):
            model = model_class(values, design, groups, exog_re=random)
            try:
                fits.append(model.fit(reml=True, method=method, **options))
            except (np.linalg.LinAlgError, ValueError) as exc:
                raise _NotConvergedError(f"{method}: {exc}") from exc
    heights = [_generalised(fit, values, design, groups)[2] for fit in fits]
    apart = abs(heights[0] - heights[1])
    if not apart <= AGREE:
        raise _NotConvergedError(f"two optimisers differ by {apart:.3g} in log-likelihood")
    return fits[int(np.argmax(heights))]


def _singular(fit: Any) -> bool:
    """Whether the covariance of the random effects is at the boundary."""
    covariance = np.atleast_2d(np.asarray(fit.cov_re))
    return bool(np.linalg.eigvalsh(covariance).min() < SINGULAR * float(fit.scale))


def _result(
    fit: Any,
    values: Array,
    scale: float,
    design: Array,
    names: Sequence[str],
    groups: Groups,
    formula: str,
    notes: Sequence[str],
    *,
    span: float | None,
) -> MixedFit:
    """Everything in the unit of the outcome, with t in place of the normal distribution."""
    from scipy.stats import norm, t

    n_terms = design.shape[1]
    scaled = (values - values.mean()) / scale
    effects, covariance, height = _generalised(fit, scaled, design, groups)
    covariance, estimates = covariance * scale**2, effects * scale
    estimates[0] += float(values.mean())
    freedom = degrees_of_freedom(design, groups, with_slope=span is not None)
    terms = []
    for i, name in enumerate(names):
        se, df = math.sqrt(float(covariance[i, i])), freedom[i]
        if df < 1:
            raise AnalysisError(f"too few patients for {formula}: no degree of freedom is left")
        statistic = float(estimates[i]) / se
        half = float(t.ppf(0.975, df)) * se
        terms.append(
            MixedTerm(
                name=name,
                estimate=float(estimates[i]),
                se=se,
                interval=(float(estimates[i]) - half, float(estimates[i]) + half),
                df=df,
                t=statistic,
                p=float(2.0 * t.sf(abs(statistic), df)),
                p_normal=float(2.0 * norm.sf(abs(statistic))),
            )
        )
    random = np.atleast_2d(np.asarray(fit.cov_re)) * scale**2
    singular = _singular(fit)
    told = list(notes)
    if singular:
        told.append(
            "patients are estimated not to differ at all (variance between them at its boundary 0);"
            " read the change within patients beside it"
        )
    slope_sd = correlation = None
    if span is not None:
        slope_sd = math.sqrt(float(random[1, 1])) / span
        correlation = float(random[0, 1]) / math.sqrt(float(random[0, 0] * random[1, 1]))
    n = values.size
    return MixedFit(
        formula=formula,
        terms=tuple(terms),
        covariance=covariance,
        intercept_sd=math.sqrt(max(float(random[0, 0]), 0.0)),
        slope_sd=slope_sd,
        correlation=correlation,
        residual_sd=math.sqrt(float(fit.scale)) * scale,
        singular=singular,
        n_subjects=int(groups.max()) + 1,
        n_observations=n,
        log_likelihood=height - (n - n_terms) * math.log(scale),
        notes=tuple(told),
    )


def _generalised(
    fit: Any, values: Array, design: Array, groups: Groups
) -> tuple[Array, Array, float]:
    """Fixed effects, their covariance and the restricted log-likelihood at the variances of a fit.

    Written out patient by patient, because it must hold at the boundary too, where statsmodels'
    own likelihood is infinite.
    """
    random = np.asarray(fit.model.exog_re)
    between, noise = np.atleast_2d(np.asarray(fit.cov_re)), float(fit.scale)
    n, p = design.shape
    information, weighted = np.zeros((p, p)), np.zeros(p)
    log_det = quadratic = 0.0
    for k in range(int(groups.max()) + 1):
        rows = np.flatnonzero(groups == k)
        v = random[rows] @ between @ random[rows].T + noise * np.eye(rows.size)
        solved = np.linalg.solve(v, np.column_stack([design[rows], values[rows]]))
        information += design[rows].T @ solved[:, :p]
        weighted += design[rows].T @ solved[:, p]
        quadratic += float(values[rows] @ solved[:, p])
        log_det += float(np.linalg.slogdet(v)[1])
    covariance = np.asarray(np.linalg.inv(information))
    effects = covariance @ weighted
    log_det += float(np.linalg.slogdet(information)[1])
    rest = quadratic - float(effects @ weighted) + (n - p) * math.log(2.0 * math.pi)
    return effects, covariance, -0.5 * (log_det + rest)


def degrees_of_freedom(design: Array, groups: Groups, *, with_slope: bool) -> list[float]:
    """Between-within degrees of freedom of each column.

    Columns that never change within a patient count against the patients, the others against the
    values beyond the first of each patient; with a random slope those count against the patients
    too, because every patient then has one slope.
    """
    n_subjects = int(groups.max()) + 1
    constant = np.array(
        [all(np.ptp(column[groups == k]) == 0.0 for k in range(n_subjects)) for column in design.T]
    )
    n_between, n_within = int(constant.sum()), int((~constant).sum())
    between = float(n_subjects - n_between)
    within = float(len(groups) - n_subjects - n_within)
    if with_slope:
        within = min(within, float(n_subjects - n_within))
    return [between if fixed else within for fixed in constant]
