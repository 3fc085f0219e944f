"""Names of scalp sites in the extended 10-10 system.

References
----------
Nuwer, M. R. (2018). 10-10 electrode system for EEG recording. *Clin Neurophysiol*, 129(5), 1103.
"""

from __future__ import annotations

_ROWS = {
    "AF": "9 7 5 3 1 z 2 4 6 8 10",
    "F": "9 7 5 3 1 z 2 4 6 8 10",
    "FC": "5 3 1 z 2 4 6",
    "FT": "9 7 8 10",
    "C": "5 3 1 z 2 4 6",
    "T": "9 7 8 10",
    "CP": "5 3 1 z 2 4 6",
    "TP": "9 7 8 10",
    "P": "9 7 5 3 1 z 2 4 6 8 10",
    "PO": "9 7 5 3 1 z 2 4 6 8 10",
    "O": "9 1 z 2 10",
    "Fp": "1 z 2",
}
SITES = frozenset(
    [f"{row}{place}" for row, places in _ROWS.items() for place in places.split()]
    + ["Nz", "Iz", "A1", "A2", "M1", "M2"]
)
OLD_NAMES = {"T3": "T7", "T4": "T8", "T5": "P7", "T6": "P8"}
_BY_LOWER = {site.lower(): site for site in SITES}


def site_problem(name: str) -> str | None:
    """Say what is wrong with a site's name, or return None where it is a 10-10 name."""
    if name in SITES:
        return None
    if name.upper() in OLD_NAMES:
        return f"{name} is the old name of {OLD_NAMES[name.upper()]}; write the 10-10 name"
    if name.lower() in _BY_LOWER:
        return f"{name} must be written {_BY_LOWER[name.lower()]}"
    return f"{name!r} is not a 10-10 site (such as Oz, Cz, F3)"
