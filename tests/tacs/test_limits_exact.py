"""Constants beside the limits table, and the fields of its files that must say something."""

from __future__ import annotations

from pathlib import Path

import pytest

from tacs.errors import FileProblems
from tacs.limits import (
    CURRENT_DENSITY_CAUTION_A_M2,
    PHOSPHENE_BAND_HZ,
    ParticipantFile,
    SiteFile,
    effective_limits,
)

SITE = {"site": "S", "approved_by": "A", "reason": "R"}


def written(folder: Path, fields: dict[str, str], **limits: float) -> Path:
    file = folder / "made.toml"
    lines = [f'{name} = "{text}"' for name, text in fields.items()]
    lines += ["[limits]", *(f"{name} = {value}" for name, value in limits.items())]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return file


def test_where_cautions_begin():
    assert CURRENT_DENSITY_CAUTION_A_M2 == 2.0
    assert PHOSPHENE_BAND_HZ == (8.0, 40.0)


def test_one_letter_is_enough_for_a_site_file(tmp_path: Path):
    site = SiteFile.from_toml(written(tmp_path, {**SITE, "consent_version": "1"}))
    assert (site.site, site.approved_by, site.reason, site.consent_version) == ("S", "A", "R", "1")
    assert site.limits == {}


@pytest.mark.parametrize("field", ["site", "approved_by", "reason", "consent_version"])
def test_an_empty_field_of_a_site_file_is_refused(tmp_path: Path, field: str):
    with pytest.raises(FileProblems, match=field):
        SiteFile.from_toml(written(tmp_path, {**SITE, field: ""}))


@pytest.mark.parametrize("subject", ["", "../01", "A" * 33, "sub 1"])
def test_a_participant_file_needs_a_label(tmp_path: Path, subject: str):
    with pytest.raises(FileProblems, match="subject"):
        ParticipantFile.from_toml(written(tmp_path, {"subject": subject}))


@pytest.mark.parametrize("subject", ["1", "A" * 32, "a+B9"])
def test_labels_of_a_participant(tmp_path: Path, subject: str):
    assert ParticipantFile.from_toml(written(tmp_path, {"subject": subject})).subject == subject


@pytest.mark.parametrize("fields", [SITE, {"subject": "01"}])
def test_an_unknown_limit_does_not_hide_the_next_problem(tmp_path: Path, fields: dict[str, str]):
    file = written(tmp_path, fields, no_such_ma=1.0, lease_ttl_s=99.0)
    site = fields is SITE
    with pytest.raises(FileProblems) as refused:
        effective_limits(site_file=file if site else None, participant_file=None if site else file)
    told = str(refused.value)
    assert "limits.no_such_ma: no such limit; `tacs limits` lists them" in told
    assert "limits.lease_ttl_s: 99 s is" in told
