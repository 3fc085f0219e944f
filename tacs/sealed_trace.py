"""The delivered current of a blinded session: sealed, at a size that tells nothing of the arm."""

from __future__ import annotations

from pathlib import Path

from tacs.blinded_record import seal_file, trace_bound
from tacs.blinding import SiteStudy
from tacs.driver import TraceInfo
from tacs.protocol import Protocol

__all__ = ["seal_trace"]

SIDECAR_BYTES = 4096


def seal_trace(study: SiteStudy, planned: Protocol, info: TraceInfo) -> Path:
    """Seal a trace and its sidecar beside themselves; the clear files are removed.

    Parameters
    ----------
    study : SiteStudy
        With the statistician's key.
    planned : Protocol
        As planned: the sizes follow from it.
    info : TraceInfo
        What the oscilloscope wrote.

    Returns
    -------
    Path
        Of the sealed trace.

    Raises
    ------
    InputError, RecordError
        Not sealed; the clear file stays.
    """
    bound = trace_bound(planned.duration_s, len(info.columns), rate_hz=info.sampling_frequency_hz)
    sidecar = info.path.with_name(info.path.name.removesuffix(".tsv.gz") + ".json")
    for source, padded_to in ((info.path, bound), (sidecar, SIDECAR_BYTES)):
        target = source.with_name(source.name + ".sealed")
        seal_file(source, target, study.sealing_key, padded_to=padded_to)
    return info.path.with_name(info.path.name + ".sealed")
