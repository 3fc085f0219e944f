"""Run 20 minutes on the emulated stimulator in seconds, and measure what its oscilloscope saw."""

import os
import tempfile
from pathlib import Path

import tacs
from tacs.protocol import Protocol

folder = Path(tempfile.mkdtemp())
os.environ["TACS_SITE_DIR"] = str(folder / "site")  # a dose ledger for this example alone

record = tacs.run(
    Protocol.from_toml(Path(__file__).parent / "protocols" / "posterior-alpha.toml"),
    "emulated:synthpal",
    subject="01",
    session="01",
    dataset=folder / "dataset",
    clock="virtual",
)
print(record.outcome, record.delivered.to_dict())
print("record:", record.record)
print("trace:", record.trace)
