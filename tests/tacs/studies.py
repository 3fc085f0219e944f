"""A blinded study on a test's site."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from tacs.allocation import Design, allocate
from tacs.blinding import SiteStudy, import_study
from tacs.sealing import generate_keys, read_public_key

ACTIVE = {"waveform": "tacs"}
SHAM = {"waveform": "active_sham", "sham_plateau_s": 5.0}


def study(name: str, *arms: dict[str, Any]) -> tuple[SiteStudy, Path]:
    """Import a study; return it, and the folder of the statistician with the private key."""
    folder = Path(tempfile.mkdtemp(prefix="tacs-study-"))
    public, _ = generate_keys(folder)
    design = Design.from_data(
        {
            "study": name,
            "arms": [
                {"code": code, **arm}
                for code, arm in zip("VSP", arms or (ACTIVE, SHAM), strict=False)
            ],
            "strata": [{"name": "all", "planned": 4}],
            "block_sizes": [2, 4] if len(arms) != 3 else [3],
        },
        "design",
    )
    made = allocate(design, read_public_key(public), folder / "out")
    return import_study(made.study, made.site_key), folder
