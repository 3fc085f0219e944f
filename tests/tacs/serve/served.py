"""``tacs serve`` as a process of its own, as a person starts it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tacs.dataset import ensure_dataset
from tests.tacs.made import protocol

SITE = """site = "test"
approved_by = "test"
reason = "short sessions on an emulator"
[limits]
ramp_up_shortest_s = 5.0
ramp_down_shortest_s = 2.0
envelope_slew_ma_per_s = 1.0
"""


@dataclass
class Served:
    """A server, its links by name, and where its site lies."""

    folder: Path
    roles: Sequence[str] = ("AB=operator",)
    options: Sequence[str] = ()
    links: dict[str, str] = field(default_factory=dict)

    def __enter__(self) -> Served:
        self.run = tempfile.mkdtemp(prefix="tacs-")  # short enough for a socket
        (self.folder / "site").mkdir(exist_ok=True)
        (self.folder / "site" / "site.toml").write_text(SITE)
        protocols = self.folder / "protocols"
        protocols.mkdir(exist_ok=True)
        for name, duration_s in (("brisk", 9.0), ("longer", 120.0)):
            protocol(name=name, duration_s=duration_s, ramp_up_s=5.0, ramp_down_s=2.0).to_toml(
                protocols / f"{name}.toml"
            )
        self.dataset = ensure_dataset(self.folder / "data")
        options = [text for role in self.roles for text in ("--role", role)]
        self.process = subprocess.Popen(
            [
                sys.executable, "-P", "-m", "tacs", "serve", str(self.dataset), "--port", "0",
                "--protocols", str(protocols), "--device", "emulated:synthpal",
                "--rig", "emulated-synthpal-monitored", *options, *self.options,
            ],
            stderr=subprocess.PIPE,
            text=True,
            env={
                **os.environ,
                "TACS_SITE_DIR": str(self.folder / "site"),
                "TACS_RUNTIME_DIR": self.run,
            },
        )  # fmt: skip
        while len(self.links) < len(self.roles):
            line = self._line()
            if found := re.match(r"(.+) \((.+)\): (http://\S+)", line):
                self.links[found[1]] = found[3]
        return self

    def _line(self) -> str:
        if self.process.stderr is None or not (line := self.process.stderr.readline()):
            raise AssertionError(f"the server ended with {self.process.wait()}")
        return line

    @property
    def base(self) -> str:
        """Where it answers."""
        return next(iter(self.links.values())).split("/#")[0]

    def end(self, number: int = signal.SIGTERM) -> int:
        """Send a signal; return how it ended."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        code = self.process.wait(30.0)
        if self.process.stderr is not None:
            self.process.stderr.close()
        return code

    def __exit__(self, *error: object) -> None:
        self.end()
