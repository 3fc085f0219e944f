"""The method section of a profile, ready to paste: what was done to this very recording."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tacs.report_words import number

__all__ = ["profile_methods"]

REFERENCES: Mapping[str, str] = {
    "Lachaux 1999": "Lachaux JP, et al. Hum Brain Mapp 1999;8:194-208.",
    "Vinck 2010": "Vinck M, et al. NeuroImage 2010;51:112-122.",
    "Brittain 2015": "Brittain JS, et al. J Neurosci 2015;35:795-806.",
    "Schartner 2015": "Schartner M, et al. PLoS ONE 2015;10:e0133532.",
    "Vinck 2011": "Vinck M, et al. NeuroImage 2011;55:1548-1565.",
    "Crawford 1998": "Crawford JR, Howell DC. Clin Neuropsychol 1998;12:482-486.",
}


def profile_methods(data: Mapping[str, Any]) -> tuple[str, tuple[str, ...]]:
    """Write what was done, and the references that it names.

    Parameters
    ----------
    data : mapping
        As ``tacs profile analyze --json``.

    Returns
    -------
    text : str
        One paragraph; a part that a profile lacks is not described.
    references : tuple of str
    """
    parts = [_locking(data), _test(data)]
    if data["resonance"]:
        parts.append(
            "The curve is a Lorentzian fitted by the likelihood of squared locking (non-central "
            "chi-square), with profile-likelihood intervals widened by the scatter of the blocks."
        )
    if data["arnold"] is not None:
        parts.append(
            "The locking region is that of a limit cycle with noise of phase and amplitude, fitted "
            "to all levels; its stiffness and line come from rest."
        )
    if any(echo["tau_ci95_s"] is not None for echo in data["echo"]):
        parts.append(
            "The echo is the decay of the mean signal after the drive's end, weighted by the "
            "covariance of the trains, with bootstrap intervals."
        )
    if data["after_effect"]:
        parts.append(
            "After-effects are ln ratios of band power after to before each block"
            + (", less that of sham." if data["after_effect"][0]["minus_sham"] else ".")
        )
    if data["frequency_tolerance"] is not None:
        parts.append("Frequency tolerance follows Brittain 2015, from time without a drive.")
    if data["exploratory"]["complexity"] is not None:
        parts.append(
            "Complexity is that of Lempel and Ziv, over the same shuffled (Schartner 2015)."
        )
    if (data["exploratory"]["connectivity"] or {}).get("p") is not None:
        parts.append(
            "Connectivity is the debiased squared weighted phase lag index (Vinck 2011) at the "
            "drive's frequency, driven blocks less the gaps after them, tested by permutation of "
            "whole blocks."
        )
    if data.get("norm"):
        parts.append(
            "The person is held against the site's own reference as one case against a sample "
            "(Crawford 1998), corrected for the number of quantities."
        )
    text = " ".join(part for part in parts if part)
    return text, tuple(words for name, words in REFERENCES.items() if name in text)


def _locking(data: Mapping[str, Any]) -> str:
    """What was read."""
    bands = sorted({tuple(band) for band in data["bands_hz"].values()})
    low, high = bands[0]
    band = f"{number(low, 2)} to {number(high, 2)} Hz" if len(bands) == 1 else "3 Hz either side"
    if data["mode"] == "electrical":
        start, stop = data["design"]["read_s"]
        return (
            "Current was given in trains, and only the gaps between them were read: "
            f"{number(start, 2)} to {number(stop, 2)} s after each end, without any filter that "
            "reaches into a train. Squared phase locking (Lachaux 1999) over trains was taken "
            "against the drive continued, less 1 over the number of trains, its value by chance "
            "(Vinck 2010)."
        )
    return (
        f"Squared phase locking (Lachaux 1999) of the band-passed signal ({band}) to the drive was "
        "taken over each block, from 1 s after its start. Because an undriven rhythm locks to any "
        "reference near its own frequency, the same was taken against virtual references beside "
        "the drive in the same block, and taken away (Vinck 2010)."
    )


def _test(data: Mapping[str, Any]) -> str:
    """How it was tested."""
    sham = (
        " Sham blocks were tested the same way; where they answer too, the finding is undetermined."
        if data["sham_curve"]
        else ""
    )
    return (
        f"Tested by permutation ({data['n_permutations']} draws) with the largest statistic over "
        f"all frequencies and levels, so that more frequencies buy no response.{sham}"
    )
