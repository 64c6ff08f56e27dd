#!/usr/bin/env python3
"""Times our ridge probe of many columns and targets beside scikit-learn's Ridge, and their memory.

    python3 benches/peers/ridge.py [--rows 2000] [--columns 91168] [--targets 4000] [--rounds 3]

Makes a virtual environment in target/peers-fits with scikit-learn from PyPI, builds
`benches/peers/ridge.rs` in release, and lets both fit the same features and predict 200 other rows, in
turn, each in a process of its own. scikit-learn gets features that are standardised already, in float32
(what its users would pick for speed) and in float64; ours standardises them, predicts a tenth of the rows
as a validation split, and fits once more to all. Seconds are those of fit and prediction, memory is the
most that the process had, data included. The largest difference of predictions, over their largest
value, says that both did the same.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
VENV = ROOT / "target" / "peers-fits"
# Environment variables that pick OpenBLAS kernels by hand: it knows best.
OVERRIDES = ["OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"]
STRENGTH = 50_000
TEST = 200

THEIRS = """
import resource, sys, time
import numpy as np
from sklearn.linear_model import Ridge
folder, rows, columns, targets, test, strength, dtype = sys.argv[1:]
read = lambda name, width: np.fromfile(f"{folder}/{name}.f32", np.float32).reshape(-1, int(width))
x, y, t = (read(n, w).astype(dtype, copy=False) for n, w in
           [("features", columns), ("targets", targets), ("test", columns)])
start = time.perf_counter()
predicted = Ridge(alpha=float(strength), copy_X=False).fit(x, y).predict(t)
seconds = time.perf_counter() - start
predicted.astype(np.float32).tofile(f"{folder}/theirs.f32")
print(seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def reexecute():
    """Runs this script again with the virtual environment's interpreter and no overrides."""
    python = VENV / "bin" / "python"
    if not python.exists():
        subprocess.check_call([sys.executable, "-m", "venv", str(VENV)])
        subprocess.check_call([str(python), "-m", "pip", "install", "-q", "scikit-learn"])
    environment = {key: value for key, value in os.environ.items() if key not in OVERRIDES}
    os.execve(python, [str(python), *sys.argv], environment)


def build():
    """Path of our side's program."""
    command = ["cargo", "bench", "--bench", "peer_ridge", "--no-run", "--message-format=json"]
    out = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    messages = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
    return next(m["executable"] for m in messages
                if m.get("target", {}).get("name") == "peer_ridge" and m.get("executable"))


def main():
    if pathlib.Path(sys.prefix).resolve() != VENV.resolve():
        reexecute()
    import numpy as np
    import sklearn

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in [("rows", 2000), ("columns", 91168), ("targets", 4000), ("rounds", 3)]:
        parser.add_argument(f"--{name}", type=int, default=default)
    arguments = parser.parse_args()
    shape = [arguments.rows, arguments.columns, arguments.targets]
    program = build()
    with tempfile.TemporaryDirectory() as folder:
        rng = np.random.default_rng(0)
        x = rng.standard_normal((shape[0], shape[1]), np.float32)
        # As ours does: by the statistics of the rows before the validation split.
        first = x[:shape[0] - shape[0] // 10]
        mean, deviation = first.mean(0, np.float64), first.std(0, dtype=np.float64)
        weights = rng.standard_normal((64, shape[2]), np.float32)
        noise = rng.standard_normal((shape[0], shape[2]), np.float32)
        y = x[:, :64] @ weights + noise
        test = rng.standard_normal((TEST, shape[1]), np.float32)
        for name, values in [("features", x), ("test", test)]:
            ((values - mean) / deviation).astype(np.float32).tofile(f"{folder}/{name}.f32")
        y.tofile(f"{folder}/targets.f32")
        del x, first, noise, y, test
        words = [folder, *map(str, shape), str(TEST), str(STRENGTH)]
        sides = {
            "ours": [program, *words],
            "float32": [sys.executable, "-c", THEIRS, *words, "float32"],
            "float64": [sys.executable, "-c", THEIRS, *words, "float64"],
        }
        found = {name: [] for name in sides}
        for _ in range(arguments.rounds):
            for name, command in sides.items():
                out = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
                found[name].append([float(word) for word in out.split()])
        ours, theirs = (np.fromfile(f"{folder}/{name}.f32", np.float32) for name in ["ours", "theirs"])
    rows, columns, targets = shape
    print(f"{rows} rows, {columns} columns, {targets} targets; scikit-learn {sklearn.__version__}")
    middle = {name: [statistics.median(of) for of in zip(*runs)] for name, runs in found.items()}
    for name, (seconds, kilobytes) in middle.items():
        print(f"{name:8} {seconds:7.2f} s {kilobytes / 1e6:7.2f} GB")
    for name in ["float32", "float64"]:
        ratios = [a / b for a, b in zip(middle["ours"], middle[name])]
        print(f"ours over {name}: time {ratios[0]:.2f}, memory {ratios[1]:.2f}")
    print(f"largest difference of predictions {abs(ours - theirs).max() / abs(theirs).max():.1e}")


if __name__ == "__main__":
    main()
