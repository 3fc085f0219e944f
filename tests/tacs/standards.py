"""A data set as a clinic leaves it: sessions on every emulated device, blinded ones, ratings."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from tacs.bids import import_recording
from tacs.clock import QueueInbox, utc_now
from tacs.journal import Journal
from tacs.ratings import rate
from tacs.runner import run
from tacs.scales import load_scale as scale_named
from tests.tacs.made import montage_data
from tests.tacs.made import protocol as made_protocol
from tests.tacs.studies import study

DEVICES = ("synthpal", "nic2", "stimjim", "nidaq", "scpi", "manual")
MONTAGE = montage_data(("Oz", "Cz", 0.3))
SHORT = made_protocol(duration_s=60.0, frequency_hz=10.0, montage=MONTAGE)
BLINDED = made_protocol(
    duration_s=60.0, frequency_hz=10.0, montage=MONTAGE, blinding={"label": "A"}
)


def stimulate(dataset: Path, subject: str, device: str = "synthpal", **options: object) -> None:
    """Run one short session on an emulated device, on the virtual clock."""
    settings = {"protocol": SHORT, "session": "01", "operator": "", "script": (), **options}
    found = run(
        settings["protocol"],  # type: ignore[arg-type]
        f"emulated:{device}",
        subject=subject,
        session=str(settings["session"]),
        dataset=dataset,
        clock="virtual",
        operator=str(settings["operator"]),
        inbox=QueueInbox(settings["script"]),  # type: ignore[arg-type]
    )
    assert found.outcome in {"done", "stopped"}, found


def clinic(dataset: Path, source: Path, post: Path) -> Path:
    """Make the data set; two sources are recordings of the same person."""
    for device in DEVICES:
        stimulate(dataset, device, device)
    study("A")
    stimulate(dataset, "B1", protocol=BLINDED)
    import_recording(source, dataset, "synthpal", "01", "pre")
    import_recording(post, dataset, "synthpal", "01", "post")
    import_recording(source, dataset, "synthpal", "01", "during")
    import_recording(source, dataset, "B1", "01", "during")
    now = utc_now()
    scale = scale_named("phq9")
    rate(
        dataset, scale, dict.fromkeys(range(1, 9), 1) | {9: 0}, subject="synthpal",
        at=now - timedelta(minutes=1), now=now, operator="A. Rater", role="rater",
    )  # fmt: skip
    assert Journal(dataset).entries("rating")
    return dataset
