"""What ``tacs profile analyze`` hands over: numbers with where they come from, and the files."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tacs import console
from tacs.errors import InputError

if TYPE_CHECKING:
    from analysis.io import Recording
    from analysis.profile_result import ResponseProfile

__all__ = ["held_against", "keep", "result_of"]


def result_of(
    profile: ResponseProfile,
    loaded: Recording,
    blocks: str,
    *,
    subject: str,
    sham: str,
    rest: str,
) -> dict[str, Any]:
    """Put numbers and provenance together.

    Parameters
    ----------
    profile : ResponseProfile
        What was found.
    loaded : Recording
        What it was found in.
    blocks : str
        Table of blocks; the account of the run that lies beside it, where there is one, tells the
        plan.
    subject : str
        Whose recording it is; empty: as the recording says.
    sham, rest : str
        Further recordings; empty for none.

    Returns
    -------
    dict
        The JSON of the command.

    Raises
    ------
    InputError
        The subject is no label.
    """
    import tacs
    from tacs.clock import utc_now

    if subject and not subject.isalnum():
        raise InputError(f"--subject {subject}: write letters and digits only")
    warnings = [*loaded.warnings, *profile.warnings]
    if subject and loaded.subject and subject != loaded.subject:
        warnings.append(f"--subject {subject}, but the recording says {loaded.subject}")
    data = {
        **profile.to_dict(),
        "subject": subject or loaded.subject,
        "recording": loaded.path,
        "recording_sha256": loaded.sha256,
        "recorded_at": loaded.recorded_at,
        "blocks": blocks,
        "blocks_sha256": hashlib.sha256(Path(blocks).read_bytes()).hexdigest(),
        "plan": _plan(Path(blocks)),
        "sham": sham or None,
        "rest_recording": rest or None,
        "analyzed_at": utc_now().isoformat(timespec="seconds"),
        "method": f"tacs-suite {tacs.__version__}",
    }
    return data | {"warnings": warnings}


def held_against(data: dict[str, Any], norm: str, visits: str) -> list[str]:
    """Hold a result against what the site knows of other people.

    Parameters
    ----------
    data : dict
        The result; `norm` is added, and `reliability` is that of the visits where they are given.
    norm, visits : str
        Files of ``tacs profile norm`` and ``compare``; empty for none.

    Returns
    -------
    list of str
        Lines for a person, with the warnings of the result.

    Raises
    ------
    AnalysisError
        If a file cannot be read, or holds another design.
    """
    reliability = data["reliability"]
    if visits:
        from analysis.profile_visits import individual_words, read_visits

        individual, reason = individual_words(read_visits(visits), data)
        reliability |= {"individual": individual, "reason": reason, "visits": visits}
    word = "individual" if reliability["individual"] else "not individual"
    lines = [f"{word}: {reliability['reason']}"]
    data["norm"] = None
    if norm:
        from analysis.profile_norm import hold_against, read_norm
        from tacs.commands.profile_norms import norm_lines

        data["norm"] = hold_against(read_norm(norm), data)
        lines += norm_lines(data["norm"])
    return [*lines, *(f"warning: {text}" for text in data["warnings"])]


def keep(
    profile: ResponseProfile, data: dict[str, Any], *, out: str, figures: str, report: str
) -> list[str]:
    """Write the files that were asked for, name them in the result, and say where they are.

    Parameters
    ----------
    profile : ResponseProfile
        For the figures.
    data : dict
        The result; grows by `figure`, `report` and `report_json`.
    out, figures, report : str
        Where to; empty for none.

    Returns
    -------
    list of str
        Lines for a person.
    """
    told = []
    if figures:
        path = Path(figures) / "profile.png"
        console.save(profile.plot(), str(path))
        data["figure"] = str(path)
    if report:
        from tacs.profile_report import profile_report

        page, numbers = profile_report(profile, data, report)
        data |= {"report": str(page), "report_json": str(numbers)}
        told.append(f"report: {page} (numbers: {numbers})")
    if out:
        from tacs.files import write_text

        write_text(out, json.dumps(data, indent=1, allow_nan=False) + "\n")
        told.append(f"result: {out}")
    return told


def _plan(blocks: Path) -> dict[str, Any] | None:
    """Plan of the run whose account lies beside its table."""
    if not blocks.name.endswith("_blocks.tsv"):
        return None
    account = blocks.with_name(blocks.name.removesuffix("_blocks.tsv") + "_profile.json")
    try:
        found = json.loads(account.read_text(encoding="utf-8"))
        plan = found["plan"]
        return {name: plan.get(name) for name in ("peak_hz", "seed", "expected_plv")}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
