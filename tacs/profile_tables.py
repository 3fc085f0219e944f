"""Tables of a profile's page: everything beside the curve, one name and one value a row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tacs.profile_page_words import open_interval, short
from tacs.report_words import joined, number, signed, signed_interval

__all__ = [
    "after_rows",
    "beside_rows",
    "design_rows",
    "exploratory_rows",
    "order_words",
    "provenance_rows",
    "reliability_words",
]

MOST_ANCHORS = 3  # more are a sweep that was repeated, and stand in the JSON
Rows = tuple[tuple[str, str], ...]


def beside_rows(data: Mapping[str, Any]) -> Rows:
    """Return resonance, locking region, echoes, rest and tolerance, each with its interval."""
    rows: list[tuple[str, str]] = []
    for curve in data["resonance"]:
        at = [row["p_corrected"] for row in data["curve"] if row["level"] == curve["level"]]
        alone = "" if min(at) < 0.05 else ", where no frequency answers by itself"
        rows.append(
            (
                f"Resonance, level {curve['level']:g}{alone}",
                f"centre {_with(curve['centre_hz'], curve['centre_ci95_hz'], 2, 'Hz')}; half-width "
                f"{_with(curve['half_width_hz'], curve['half_width_ci95_hz'], 2, 'Hz')}; height "
                f"{_with(curve['height_plv2'], curve['height_ci95_plv2'], 3)}",
            )
        )
    if not data["resonance"]:
        rows.append(("Resonance curve", f"none: {short(data['resonance_reason'])}"))
    adjusted = data["adjusted"]
    if adjusted is not None:
        text = _with(adjusted["centre_hz"], adjusted["centre_ci95_hz"], 2, "Hz")
        rows.append(("Centre, order and carry-over in the model", text))
    region = data["arnold"]
    if region is None:
        rows.append(("Locking region", f"none: {short(data['arnold_reason'])}"))
    else:
        slope = _with(region["slope_hz_per_level"], region["slope_ci95"], 3, "Hz")
        rows.append(("Locking region, half-width per unit of level", slope))
    rows += _control_rows(data)
    rows += [_echo_row(one) for one in data["echo"]]
    rest, tolerance = data["rest"], data["frequency_tolerance"]
    if rest is not None:
        rows.append(
            (
                "Rhythm without a drive",
                f"{number(rest['centre_hz'], 2, 'Hz')}, width {number(rest['fwhm_hz'], 2, 'Hz')} "
                f"(from {number(rest['seconds'], 0, 's')})",
            )
        )
    if tolerance is not None:
        text = _with(tolerance["tolerance_hz"], tolerance["tolerance_ci95_hz"], 2, "Hz")
        steps = number(tolerance["stability_iqr_hz"], 2, "Hz")
        rows.append(("Frequency tolerance", f"{text}; steps from cycle to cycle {steps}"))
    else:
        rows.append(("Frequency tolerance", "none: under 200 cycles without a drive, or no line"))
    return tuple(rows)


def _control_rows(data: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Jittered blocks, and the frequencies that were repeated."""
    rows = []
    if data["jitter"] is not None:
        for key, name in (("regular", "a regular reference"), ("own_pulses", "their own pulses")):
            for row in data["jitter"][key]:
                low, high = row["response_ci95_plv2"]
                rows.append(
                    (
                        f"Jittered drive, {row['frequency_hz']:g} Hz, to {name}",
                        f"{number(row['response_plv2'], 3)} ({number(low, 3)} to "
                        f"{number(high, 3)}), p {number(row['p_corrected'], 3)}",
                    )
                )
    cells = sorted({(one["frequency_hz"], one["level"]) for one in data["anchors"]})
    if len(cells) > MOST_ANCHORS:
        rows.append(("Repeated", f"{len(cells)} frequencies and levels; their blocks in the JSON"))
        return rows
    for hz, level in cells:
        each = [
            number(one["response_plv2"], 3)
            for one in data["anchors"]
            if (one["frequency_hz"], one["level"]) == (hz, level)
        ]
        rows.append((f"Repeated, {hz:g} Hz, level {level:g}, in order", ", ".join(each)))
    return rows


def _with(value: float, ends: Any, digits: int, unit: str = "") -> str:
    """Write a value with its interval."""
    return f"{number(value, digits, unit)} ({open_interval(ends, digits)})"


def _echo_row(echo: Mapping[str, Any]) -> tuple[str, str]:
    """One echo."""
    kind = "sham " if echo["kind"] == "sham" else ""
    name = f"Echo, {kind}{echo['frequency_hz']:g} Hz, level {echo['level']:g}"
    if not echo["reportable"]:
        return name, f"{echo['n_trains']} trains: too few to report one, found or absent"
    if echo["tau_s"] is None:
        return name, (
            f"no time constant: {echo['tau_reason']}; {echo['n_trains']} reads find locking of "
            f"{number(echo['detectable_plv'], 2)} or more"
        )
    text = f"{number(1000.0 * echo['tau_s'], 0, 'ms')} "
    text += f"({open_interval(echo['tau_ci95_s'], 0, '', 1000.0)})"
    if echo["tau_over_memory"] is not None:
        ratio = open_interval(echo["tau_over_memory_ci95"], 1)
        text += f"; over the memory at rest {number(echo['tau_over_memory'], 1)} ({ratio})"
    return name, text


def after_rows(data: Mapping[str, Any]) -> Rows:
    """Return the after-effect: of frequencies in bins beyond the first, and of the session."""
    rows = []
    for one in data["after_effect"]:
        name = f"{one['frequency_hz']:g} Hz, level {one['level']:g}"
        for bin_ in one["bins"][1:]:
            rows.append((f"{name}, {_minutes(bin_)}", _after(bin_)))
    for bin_ in (data["after_session"] or {"bins": []})["bins"]:
        rows.append((f"After the session, {_minutes(bin_)}", _after(bin_)))
    if data["after_session"] and data["after_session"]["reason"]:
        rows.append(("After the session", data["after_session"]["reason"]))
    return tuple(rows)


def _minutes(bin_: Mapping[str, Any]) -> str:
    """From when to when."""
    low, high = (number(bin_[key] / 60.0, 1) for key in ("from_s", "to_s"))
    return f"{low} to {high} min"


def _after(bin_: Mapping[str, Any]) -> str:
    """One bin."""
    less = "less sham" if bin_["minus_sham"] else "sham not taken away"
    return f"{signed(bin_['ln_ratio'], 2)} ({signed_interval(bin_['ci95_ln'], 2)}), {less}"


def exploratory_rows(data: Mapping[str, Any]) -> Rows:
    """Return what was looked at beside the verdict."""
    found = data["exploratory"]
    rows = []
    for ratio, name in ((2.0, "Locking to twice the drive"), (0.5, "Locking to half the drive")):
        at = [row for row in found["leakage"] if row["ratio"] == ratio]
        if not at:
            continue
        top = max(at, key=lambda row: row["response_plv2"])
        low, high = top["response_ci95_plv2"]
        sham = top["sham_plv2"]
        rows.append(
            (
                name,
                f"largest at {top['frequency_hz']:g} Hz: {number(top['response_plv2'], 4)} "
                f"({number(low, 4)} to {number(high, 4)}); sham {number(sham, 4)}",
            )
        )
    for key, name in (
        ("exponent", "Aperiodic exponent, after less before"),
        ("complexity", "Lempel-Ziv complexity, after less before"),
    ):
        one = found[key]
        if one is not None:
            less = "less sham" if one["minus_sham"] else "sham not taken away"
            rows.append(
                (name, f"{signed(one['change'], 3)} ({signed_interval(one['ci95'], 3)}), {less}")
            )
        else:
            rows.append((name, "none: fewer than three driven blocks with gaps of 10 s"))
    state = found["state"]
    if state["slope"] is not None and state["null_ci95"] is not None:
        rows.append(
            (
                "Response over ln power before the block (sd per unit)",
                f"{signed(state['slope'], 2)} ({signed_interval(state['slope_ci95'], 2)}), p "
                f"{number(state['p'], 3)}; by chance {signed_interval(state['null_ci95'], 2)}",
            )
        )
    one = found["connectivity"]
    if one is not None:
        name = "Connectivity (debiased wPLI²) at the drive, block less gap"
        if one["reason"] is not None:
            rows.append((name, f"none: {one['reason']}"))
        else:
            less = "less sham" if one["against"] == "sham" else "sham not taken away"
            rows.append(
                (
                    name,
                    f"{signed(one['change'], 3)}, {less}, p {number(one['p'], 3)} "
                    f"({one['n_pairs']} pair(s)); a stronger rhythm alone raises it",
                )
            )
    return tuple(rows)


def design_rows(data: Mapping[str, Any]) -> Rows:
    """Return how it was run and what it was held against."""
    design = data["design"]
    virtual = design["virtual_references"]
    each = f"{number(design['seconds_per_block'], 1, 's')} each"
    if design["gap_s"] is not None:
        each += f", {number(design['gap_s'], 1, 's')} without drive between"
    beside = f"{virtual['n']}: {virtual['kind']}"
    if "nearest_hz" in virtual:
        beside += (
            f", {number(virtual['nearest_hz'], 3)} to {number(virtual['farthest_hz'], 3, 'Hz')} "
            "on either side"
        )
    seed = data.get("plan", {}) or {}
    rows = [
        ("Drive", f"mode {data['mode']}; {design['n_frequencies']} frequencies, level "
         + joined([f"{level:g}" for level in design["levels"]])),
        ("Blocks", f"{each}; {design['reads_per_frequency']:g} read(s) of each frequency and "
         f"level; {design['n_sham']} of sham, {design['n_jitter']} jittered"),
        ("Order", order_words(data)),
        ("Seed of the order", str(seed["seed"]) if "seed" in seed else "not known to this page"),
        ("Virtual references", f"{beside}; seed of the draws {data['seed']}"),
        ("Channels", joined(list(data["channels"]))),
    ]  # fmt: skip
    if design["read_s"] is not None:
        low, high = design["read_s"]
        rows.append(("Read of each gap", f"{number(low, 2)} to {number(high, 2, 's')} after it"))
    beside_it = data["covariates"]
    if beside_it is not None:
        carry = beside_it["carry_p"]
        rows.append(
            (
                "Order and carry-over in what the curve leaves over",
                f"p {number(beside_it['order_p'], 3)} and {number(carry, 3)}; order against "
                f"frequency r {number(beside_it['order_frequency_r'], 2)}",
            )
        )
    return tuple(rows)


def order_words(data: Mapping[str, Any]) -> str:
    """Write the order of the blocks, Hz; the level where there are several."""
    design = data["design"]
    several = len(design["levels"]) > 1
    words = []
    for block in design["order"]:
        text = "sham" if block["kind"] == "sham" else f"{block['frequency_hz']:g}"
        if several and block["kind"] != "sham":
            text += f"/{block['level']:g}"
        if block["n_reads"] > 1:
            text += f" ({block['n_reads']} reads)"
        words.append(text)
    return ", ".join(words) + (" (Hz/level)" if several else " Hz")


def reliability_words(data: Mapping[str, Any]) -> str:
    """Say whether this profile may be called individual, and why."""
    found = data["reliability"]
    text = str(found["reason"])
    return ("Individual: " if found["individual"] else "Not individual: ") + text + "."


def provenance_rows(data: Mapping[str, Any]) -> tuple[tuple[str, str, str], ...]:
    """Where the numbers come from: name, path, and the hash where one is kept."""
    rows = [
        ("Recording", str(data["recording"]), str(data["recording_sha256"])),
        ("Table of blocks", str(data["blocks"]), str(data["blocks_sha256"])),
    ]
    rows += [
        ("Another visit", f"{one['recording']}, {one['blocks']}", "") for one in data["visits"]
    ]
    rows += [
        (name, str(data[key]), "")
        for name, key in (("Sham", "sham"), ("At rest", "rest_recording"))
        if data.get(key)
    ]
    return tuple(rows)
