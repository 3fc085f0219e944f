"""What ``tacs profile analyze`` hands over: numbers with where they come from, and the files."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tacs import console
from tacs.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from analysis.io import Recording
    from analysis.profile_blocks import Block
    from analysis.profile_result import ResponseProfile

__all__ = ["after_of", "held_against", "keep", "result_of"]


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


def after_of(
    raw: Any,
    table: Sequence[Block],
    profile: ResponseProfile,
    *,
    after: Sequence[str],
    minutes: Sequence[float],
    sham: tuple[str, str],
    eyes: str,
) -> tuple[dict[str, Any] | None, list[str]]:
    """Read the after-effect of the session from recordings made after it.

    Parameters
    ----------
    raw : mne.io.BaseRaw
        The session.
    table : sequence of Block
        Its table.
    profile : ResponseProfile
        For channels and band.
    after : sequence of str
        Recordings.
    minutes : sequence of float
        From the end of the drive to the start of each; empty where the recordings tell it.
    sham : (str, str)
        Recordings before and after of a visit without current; empty for none.
    eyes : str
        Of the recordings after: open or closed; empty where there is no question.

    Returns
    -------
    dict or None
        As `analysis.profile_after.after_session`, with the `recordings`; None without any.
    list of str
        Lines for a person.

    Raises
    ------
    InputError
        The options do not belong together.
    """
    if not after:
        if minutes or any(sham) or eyes:
            raise InputError("--after-min, --after-sham, --after-eyes: name --after too")
        return None, []
    if minutes and len(minutes) != len(after):
        raise InputError(
            f"--after-min: {len(minutes)} for {len(after)} recordings; write one after each --after"
        )
    from analysis.io import load_recording
    from analysis.profile_after import after_session, start_after_s

    parts, told = [], []
    stated: list[float | None] = [*minutes] or [None] * len(after)
    for path, minute in zip(after, stated, strict=True):
        one = load_recording(path)
        start_s, source = start_after_s(raw, table, one.raw, minute, path)
        parts.append((one.raw, start_s, path))
        told.append({"path": path, "sha256": one.sha256, "start_s": start_s, "start_from": source})
    bands = profile.bands_hz.values()
    band = (min(low for low, _ in bands), max(high for _, high in bands))
    pair = (load_recording(sham[0]).raw, load_recording(sham[1]).raw) if all(sham) else None
    found = after_session(raw, table, profile.channels, band, parts, sham=pair, eyes=eyes)
    found |= {"recordings": told, "sham": list(sham) if pair else None}
    lines = [f"after the session: {found['reason']}"] if found["reason"] else []
    for row in found["bins"]:
        low, high = row["ci95_ln"]
        less = ", less sham" if row["minus_sham"] else ""
        lines.append(
            f"after the session, {row['from_s'] / 60.0:.1f} to {row['to_s'] / 60.0:.1f} min: ln "
            f"power {row['ln_ratio']:+.2f} [{low:+.2f}, {high:+.2f}]{less}"
        )
    return found, lines


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
        from analysis.profile_reliability import individual_words, read_visits

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
