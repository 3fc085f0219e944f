"""Channel names, types and positions: what a file calls a channel, and what it is."""

from __future__ import annotations

import re
from collections import Counter
from functools import cache
from typing import Any

_TYPES = (
    ("eog", re.compile(r"^(?:[hv]?eog|loc|roc)(?![a-z])", re.IGNORECASE)),
    ("ecg", re.compile(r"^(?:ecg|ekg)(?![a-z])", re.IGNORECASE)),
    ("emg", re.compile(r"^(?:emg|chin)(?![a-z])", re.IGNORECASE)),
    ("stim", re.compile(r"^(?:sti|trig|trigger|status|marker|event)s?(?![a-z])", re.IGNORECASE)),
    ("resp", re.compile(r"^(?:resp|airflow|thorax|abdomen)", re.IGNORECASE)),
    (
        "misc",
        re.compile(
            r"^(?:acc|accel|gyro|spo2|ppg|pulse|pleth|gsr|eda|counter|battery|temp|dc\d|light|photo)",
            re.IGNORECASE,
        ),
    ),
)
_PREFIX = re.compile(r"^(?:EEG[ _-]+)(?=\S)", re.IGNORECASE)
_REFERENCE = re.compile(r"[-_ ](?:REF|LE|AVG|AV|A1|A2|M1|M2|A1A2|M1M2)$", re.IGNORECASE)
_POSTERIOR = re.compile(r"^(?:P|PO|O)(?:z|\d{1,2})h?$", re.IGNORECASE)


def montage_name() -> str:
    """Name of the built-in 10-05 montage (renamed in MNE 1.13)."""
    import mne

    names = mne.channels.get_builtin_montages()
    return "colin27_1005" if "colin27_1005" in names else "standard_1005"


@cache
def _known_names() -> dict[str, str]:
    """Lower-case electrode name to its usual spelling."""
    import mne

    montage = mne.channels.make_standard_montage(montage_name())
    return {name.lower(): name for name in montage.ch_names}


def normal_name(name: str) -> str:
    """Usual spelling of one channel name; a name that is no 10-05 electrode is only stripped.

    Parameters
    ----------
    name : str
        Name as the file has it, such as `Fc5.`, `FP1`, `EEG O1-REF`.

    Returns
    -------
    str
        `FC5`, `Fp1`, `O1`; a bipolar name such as `Fp1-F7` stays as it is.
    """
    known = _known_names()
    bare = name.strip().strip(".").strip()
    for candidate in (bare, _PREFIX.sub("", bare)):
        for spelling in (candidate, _REFERENCE.sub("", candidate)):
            if spelling.lower() in known:
                return known[spelling.lower()]
    return bare or name


def is_posterior(name: str) -> bool:
    """Whether an electrode lies over parietal or occipital cortex (P, PO and O groups)."""
    return bool(_POSTERIOR.match(name))


def tidy(raw: Any) -> None:
    """Normalise names, guess types of unlabelled channels and set positions, in place.

    Parameters
    ----------
    raw : mne.io.BaseRaw
        The recording. Types are guessed only for channels that the reader calls EEG, since most
        formats do not label them; positions that the file brings along are kept.
    """
    import mne

    wanted = {name: normal_name(name) for name in raw.ch_names}
    count = Counter(wanted.values())
    clear = {old: new for old, new in wanted.items() if count[new] == 1 and old != new}
    mne.rename_channels(raw.info, clear)
    guessed = {}
    for name, kind in zip(raw.ch_names, raw.get_channel_types(), strict=True):
        matches = [label for label, pattern in _TYPES if pattern.match(name)]
        if kind == "eeg" and matches:
            guessed[name] = matches[0]
    if guessed:
        raw.set_channel_types(guessed, on_unit_change="ignore", verbose="ERROR")
    if raw.get_montage() is None and any(name.lower() in _known_names() for name in raw.ch_names):
        raw.set_montage(montage_name(), match_case=False, on_missing="ignore", verbose="ERROR")
