"""Can a classifier tell the arm of a blinded session from what a blinded person can see?

Sessions of both arms run whole on the virtual clock with the emulated Synth Pal. What they leave in
the clear (every file of the data set and of the site's folder, their sizes and times, the result,
what the front end was told) becomes numbers, and two classifiers try to tell the arms apart under
cross-validation. The same is tried with unblinded sessions of the same arms, which shows that the
classifiers can find what is there.

    python -m benchmarks.blinding [--per-arm 200] [--json FILE]
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import re
import shutil
import tempfile
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from tacs.clock import QueueInbox
from tacs.guardian_main import telemetry_to_data
from tacs.protocol import Protocol
from tacs.runner import run
from tacs.sealing import generate_keys, read_public_key

PROTOCOL = Path(__file__).resolve().parents[1] / "examples" / "protocols" / "posterior-alpha.toml"
SITE = """site = "campaign"
approved_by = "campaign"
reason = "short sessions on an emulator"
[limits]
ramp_up_shortest_s = 5.0
ramp_down_shortest_s = 2.0
envelope_slew_ma_per_s = 1.0
"""
ARMS = (("tacs", None), ("active_sham", 2.0))
HASH = re.compile(r"[0-9a-f]{16,64}")
WHEN = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[.\d]*(?:\+00:00|Z)?")
NUMBER = re.compile(r"-?\d+\.?\d*(?:e-?\d+)?")


def one(arguments: tuple[int, int, bool]) -> dict[str, float]:
    """Run one session in a folder of its own; return what can be seen of it, as numbers."""
    number, arm, blinded = arguments
    folder = Path(tempfile.mkdtemp(prefix="tacs-"))
    os.environ["TACS_SITE_DIR"] = str(folder / "site")
    try:
        return _one(folder, number, arm, blinded)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _one(folder: Path, number: int, arm: int, blinded: bool) -> dict[str, float]:
    from tacs.allocation import Design, allocate
    from tacs.blinding import import_study

    (folder / "site").mkdir()
    (folder / "site" / "site.toml").write_text(SITE)
    waveform, plateau_s = ARMS[arm]
    changes: dict[str, Any] = {"duration_s": 20.0, "ramp_up_s": 5.0, "ramp_down_s": 2.0}
    protocol = Protocol.from_toml(PROTOCOL)
    if blinded:
        # Both slots of the study are of one arm: the truth is known here, and nowhere below.
        same = {"waveform": waveform} | ({"sham_plateau_s": plateau_s} if plateau_s else {})
        public, _ = generate_keys(folder / "keys")
        design = Design.from_data(
            {
                "study": "STUDY",
                "arms": [{"code": "V", **same}, {"code": "S", **same}],
                "strata": [{"name": "all", "planned": 4}],
                "block_sizes": [2, 4],
            },
            "design",
        )
        made = allocate(design, read_public_key(public), folder / "keys" / "out")
        import_study(made.study, made.site_key)
        changes["blinding"] = {"label": "STUDY"}
    else:
        changes |= {"waveform": waveform} | ({"sham_plateau_s": plateau_s} if plateau_s else {})
    protocol = Protocol.from_data({**protocol.to_data(), **changes}, "campaign")
    rng = random.Random(f"{arm}/{number}")
    # Half of the sessions are stopped by the operator, at an instant that has nothing to do
    # with the arm.
    script = [(rng.uniform(2.0, 18.0), "stop:the STOP key")] if number % 2 else []
    told: list[dict[str, Any]] = []
    result = run(
        protocol,
        "emulated:synthpal",
        subject="P01",
        session="01",
        dataset=folder / "data",
        clock="virtual",
        inbox=QueueInbox(script),
        watch=lambda t: told.append(telemetry_to_data(t, blinded=blinded)),
    )
    shutil.rmtree(folder / "keys", ignore_errors=True)
    return features(folder, result.to_dict(), told)


def features(folder: Path, result: dict[str, Any], told: list[dict[str, Any]]) -> dict[str, float]:
    """Everything that can be seen, as named numbers."""
    found: dict[str, float] = {}
    for file in sorted(folder.rglob("*")):
        if not file.is_file():
            continue
        name = HASH.sub("HASH", str(file.relative_to(folder)))
        found[f"{name}: bytes"] = float(file.stat().st_size)
        with contextlib.suppress(UnicodeDecodeError):
            text = file.read_text("utf-8") if file.suffix not in {".sealed", ".gz"} else ""
            _numbers(found, name, text)
    _numbers(found, "result", json.dumps(result).replace(str(folder), ""))
    kept = told[:: max(len(told) // 40, 1)]
    _numbers(found, "told", json.dumps(sorted({json.dumps(t["state"]) for t in told})))
    for name in ("level", "ceiling"):
        values = [t[name] for t in kept if t[name] is not None]
        found[f"told: {name}"] = float(np.mean(values)) if values else -1.0
    return found


def _numbers(found: dict[str, float], name: str, text: str) -> None:
    """Length of a text, its words, and the sum and count of its numbers, without labels of time."""
    text = WHEN.sub("WHEN", HASH.sub("HASH", text))
    found[f"{name}: characters"] = float(len(text))
    found[f"{name}: lines"] = float(text.count("\n"))
    for word in re.findall(r"[a-z_]{3,}", text.lower()):
        key = f"{name}: {word}"
        found[key] = found.get(key, 0.0) + 1.0
    values = [v for v in map(float, NUMBER.findall(text)) if abs(v) < 1e12]
    found[f"{name}: sum"] = float(np.sum(values))
    for k, value in enumerate(values[:400]):
        found[f"{name}: number {k}"] = value


def classify(rows: list[dict[str, float]], arms: list[int], seed: int) -> dict[str, Any]:
    """Cross-validated area under the curve of two classifiers, with its null distribution's sd."""
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    # A word that only a random key has is in one session; it can tell nothing of the others.
    seen = Counter(name for row in rows for name in row)
    names = sorted(name for name, n in seen.items() if n >= 0.1 * len(rows))
    x = np.array([[row.get(name, -1.0) for name in names] for row in rows])
    y = np.array(arms)
    varies = x.std(axis=0) > 0.0
    x = x[:, varies]
    told: dict[str, Any] = {"features": len(names), "that_vary": int(varies.sum())}
    folds = StratifiedKFold(10, shuffle=True, random_state=seed)
    for name, model in (
        ("forest", RandomForestClassifier(300, random_state=seed)),
        ("logistic", make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=2000))),
    ):
        if not x.shape[1]:
            told[name] = {"auc": 0.5, "accuracy": 0.5}
            continue
        chance = cross_val_predict(model, x, y, cv=folds, method="predict_proba")[:, 1]
        told[name] = {
            "auc": round(area(chance, y), 4),
            "accuracy": round(float(np.mean((chance > 0.5) == y)), 4),
        }
    n = int((y == 0).sum())
    # Of an area under the curve between two equal groups without any difference.
    told["auc_95_without_difference"] = round(1.96 * float(np.sqrt((2 * n + 1) / (12 * n * n))), 4)
    return told


def area(scores: np.ndarray, y: np.ndarray) -> float:
    """Area under the curve, ties counted half."""
    above = scores[y == 1][:, None] - scores[y == 0][None, :]
    return float(np.mean((above > 0.0) + 0.5 * (above == 0.0)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--per-arm", type=int, default=20)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    told = {}
    for blinded, per_arm in ((True, options.per_arm), (False, min(options.per_arm, 20))):
        jobs = [(n, arm, blinded) for arm in (0, 1) for n in range(per_arm)]
        random.Random(options.seed).shuffle(jobs)
        with ProcessPoolExecutor(options.workers) as pool:
            rows = list(pool.map(one, jobs, chunksize=2))
        key = "blinded" if blinded else "not blinded"
        told[key] = {"sessions": len(rows), **classify(rows, [j[1] for j in jobs], options.seed)}
        print(json.dumps({key: told[key]}), flush=True)
    if options.json:
        options.json.write_text(json.dumps(told, indent=1))


if __name__ == "__main__":
    main()
