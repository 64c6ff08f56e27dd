#!/usr/bin/env python3
"""Times our logistic regressions beside scikit-learn's, in turn, and prints the ratios.

    python3 benches/peers/fits.py [--only sweep|single|softmax] [--rows N] [--rounds 3] [--reference]

Makes a virtual environment in target/peers-fits with scikit-learn from PyPI, builds
`benches/peers/fits.rs` in release, and gives both sides the same float32 features, standardised
and correlated, and the same objective. scikit-learn's fits are `LogisticRegression` (lbfgs) in a
loop; of the sweep it does 8, and the time of all is theirs in proportion. Ratios are ours over
scikit-learn's; below 1 is faster. Beside them stand the objectives of both sides in float64, summed
over the fits that both did, the largest gradient of the mean loss of either side, and the largest
difference of decision values. scikit-learn works in float32, as its input is, to its default
tolerance: tighter ones it often cannot reach, and takes many times the iterations to give up. Ours
goes on to smaller gradients; how far it is from the optimum, `--reference` tells: scikit-learn's
newton-cholesky in float64, not timed.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
VENV = ROOT / "target" / "peers-fits"
# Environment variables that pick OpenBLAS kernels by hand: it knows best.
OVERRIDES = ["OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"]


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
    command = ["cargo", "bench", "--bench", "peer_fits", "--no-run", "--message-format=json"]
    out = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    messages = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
    return next(m["executable"] for m in messages
                if m.get("target", {}).get("name") == "peer_fits" and m.get("executable"))


class Ours:
    """Our program, which answers each problem with milliseconds and leaves its weights."""

    def __init__(self, program, folder):
        pipes = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.process = subprocess.Popen([program, "serve"], **pipes)
        self.folder = folder

    def run(self, kind, shape, targets, tolerance, strengths):
        words = [kind, str(self.folder), *map(str, shape), str(targets), repr(tolerance)]
        strengths = ",".join(repr(float(strength)) for strength in strengths)
        self.process.stdin.write(" ".join([*words, strengths]) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            sys.exit("our side failed")
        milliseconds, iterations = line.split()
        return float(milliseconds) / 1e3, int(iterations)


def features(rows, columns, generator):
    """Correlated columns: the spectrum of their covariance falls as 1 / k."""
    import numpy as np
    scale = (1 + np.arange(columns, dtype=np.float32)) ** -0.5
    mix = generator.standard_normal((columns, columns), dtype=np.float32) * scale[:, None]
    x = generator.standard_normal((rows, columns), dtype=np.float32) @ mix
    x -= x.mean(0)
    x /= x.std(0)
    return x


def scores(x, generator):
    """What decides a label: a direction of all columns, and logistic noise."""
    import numpy as np
    w = generator.standard_normal(x.shape[1]).astype(np.float32) * (3 / x.shape[1] ** 0.5)
    return x @ w + generator.logistic(size=len(x)).astype(np.float32)


def fit_theirs(x, y, strength, tolerance):
    """Seconds, iterations, and weights with the intercept last, `(outputs, columns + 1)`."""
    import numpy as np
    from sklearn.linear_model import LogisticRegression
    start = time.perf_counter()
    model = LogisticRegression(C=1 / strength, tol=tolerance, max_iter=10_000).fit(x, y)
    seconds = time.perf_counter() - start
    weights = np.column_stack([model.coef_, model.intercept_]).astype(np.float64)
    return seconds, int(model.n_iter_[0]), weights


def reference(x, y, strength):
    """Weights as of `fit_theirs`, in float64 to the last digits."""
    import numpy as np
    from sklearn.linear_model import LogisticRegression
    model = LogisticRegression(C=1 / strength, tol=1e-10, max_iter=100, solver="newton-cholesky")
    model.fit(x.astype(np.float64), y)
    return np.column_stack([model.coef_, model.intercept_])


def judge(x, y, strength, weights):
    """Objective, largest element of the gradient of the mean loss, and decision values."""
    import numpy as np
    from scipy.special import logsumexp, softmax
    z = np.concatenate([x[at:at + 8192] @ weights[:, :-1].T for at in range(0, len(x), 8192)])
    z = z + weights[:, -1]
    scores = np.column_stack([np.zeros(len(z)), z]) if z.shape[1] == 1 else z
    rows = np.arange(len(y))
    loss = (logsumexp(scores, axis=1) - scores[rows, y]).sum()
    residual = softmax(scores, axis=1)
    residual[rows, y] -= 1
    residual = residual[:, -z.shape[1]:]
    gradient = sum(residual[at:at + 8192].T @ x[at:at + 8192] for at in range(0, len(x), 8192))
    gradient = np.column_stack([gradient + strength * weights[:, :-1], residual.sum(0)])
    objective = loss + 0.5 * strength * (weights[:, :-1] ** 2).sum()
    if z.shape[1] > 1:
        z = z - z.mean(1, keepdims=True)
    return objective, abs(gradient).max() / len(x), z


class Comparison:
    """What both sides did on the same fits."""

    def __init__(self, name):
        self.name, self.objectives, self.gradients, self.difference = name, [0, 0], [0, 0], 0.0
        self.from_reference = None

    def add(self, x, y, strength, ours, theirs):
        decisions = []
        for side, weights in enumerate([ours, theirs]):
            objective, gradient, decision = judge(x, y, strength, weights)
            self.objectives[side] += objective
            self.gradients[side] = max(self.gradients[side], gradient)
            decisions.append(decision)
        self.difference = max(self.difference, abs(decisions[0] - decisions[1]).max())

    def refer(self, x, y, strength, ours):
        """Compares one fit with the reference."""
        own, exact = (judge(x, y, strength, w)[2] for w in (ours, reference(x, y, strength)))
        self.from_reference = max(self.from_reference or 0.0, abs(own - exact).max())

    def report(self, ours, theirs, note):
        print(f"{self.name}: ours {ours:.3f} s, scikit-learn {theirs:.3f} s, "
              f"ratio {ours / theirs:.4f} (1/{theirs / ours:.1f})\n"
              f"  {note}\n"
              f"  objective {self.objectives[0]:.9g} and {self.objectives[1]:.9g}; "
              f"largest gradient {self.gradients[0]:.1e} and {self.gradients[1]:.1e}; "
              f"decision values differ by at most {self.difference:.1e}"
              + ("" if self.from_reference is None else
                 f", ours from the reference by {self.from_reference:.1e}"), flush=True)


def sweep(ours, folder, rows, options):
    """40 targets × 25 strengths."""
    import numpy as np
    generator = np.random.default_rng(0)
    x = features(rows, 512, generator)
    x.tofile(folder / "features.f32")
    labels = []
    for rate in np.linspace(0.02, 0.98, 40):
        score = scores(x, generator)
        labels.append(score > np.quantile(score, 1 - rate))
    np.array(labels, np.int8).tofile(folder / "labels.i8")
    strengths = np.logspace(-2, 5, 25)
    # Every fifth target, all strengths from end to end.
    chosen = [(2 + 5 * at, at * 24 // 7) for at in range(8)]
    theirs = [fit_theirs(x, labels[t].astype(np.int8), strengths[s], options.their_tolerance)
              for t, s in chosen]
    times = [ours.run("binary", x.shape, 40, options.tolerance, strengths)
             for _ in range(options.rounds)]
    weights = np.fromfile(folder / "weights.f64").reshape(40, 25, 1, 513)
    comparison = Comparison(f"sweep 40×25 on {rows}×512")
    for (t, s), (_, _, their) in zip(chosen, theirs):
        comparison.add(x, labels[t].astype(int), strengths[s], weights[t, s], their)
    if options.reference:
        for t, s in (chosen[0], chosen[-1]):
            comparison.refer(x, labels[t].astype(int), strengths[s], weights[t, s])
    comparison.report(
        statistics.median(seconds for seconds, _ in times),
        1000 * statistics.mean(seconds for seconds, _, _ in theirs),
        f"iterations a fit: ours {times[0][1] / 1000:.1f}, scikit-learn "
        f"{[iterations for _, iterations, _ in theirs]}; its seconds "
        f"{[round(seconds, 2) for seconds, _, _ in theirs]}, extrapolated to 1000")


def single(ours, folder, rows, options):
    """One fit."""
    import numpy as np
    generator = np.random.default_rng(1)
    x = features(rows, 512, generator)
    x.tofile(folder / "features.f32")
    y = (scores(x, generator) > 0).astype(np.int8)
    y.tofile(folder / "labels.i8")
    theirs, times = [], []
    for _ in range(options.rounds + 1):
        theirs.append(fit_theirs(x, y, 1.0, options.their_tolerance))
        times.append(ours.run("binary", x.shape, 1, options.tolerance, [1.0]))
    comparison = Comparison(f"one fit on {rows}×512")
    weights = np.fromfile(folder / "weights.f64").reshape(1, 513)
    comparison.add(x, y.astype(int), 1.0, weights, theirs[0][2])
    if options.reference:
        comparison.refer(x, y.astype(int), 1.0, weights)
    comparison.report(
        statistics.median(seconds for seconds, _ in times[1:]),
        statistics.median(seconds for seconds, _, _ in theirs[1:]),
        f"iterations: ours {times[0][1]}, scikit-learn {theirs[0][1]}")


def softmax(ours, folder, rows, options):
    """10 classes, 10 strengths."""
    import numpy as np
    generator = np.random.default_rng(2)
    x = features(rows, 688, generator)
    x.tofile(folder / "features.f32")
    each = np.column_stack([scores(x, generator) for _ in range(10)])
    y = each.argmax(1).astype(np.uint32)
    y.tofile(folder / "labels.u32")
    strengths = np.logspace(-2, 4, 10)
    theirs = [fit_theirs(x, y, strength, options.their_tolerance) for strength in strengths]
    times = [ours.run("classes", x.shape, 10, options.tolerance, strengths)
             for _ in range(options.rounds)]
    weights = np.fromfile(folder / "weights.f64").reshape(10, 10, 689)
    comparison = Comparison(f"softmax, 10 classes × 10 strengths on {rows}×688")
    for s in (0, 4, 9):
        comparison.add(x, y.astype(int), strengths[s], weights[s], theirs[s][2])
    comparison.report(
        statistics.median(seconds for seconds, _ in times),
        sum(seconds for seconds, _, _ in theirs),
        f"iterations: ours {times[0][1]} in all, scikit-learn "
        f"{[iterations for _, iterations, _ in theirs]}")


CASES = {"sweep": (sweep, 162_770), "single": (single, 20_000), "softmax": (softmax, 50_000)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=CASES)
    parser.add_argument("--rows", type=int, help="instead of the full size")
    parser.add_argument("--rounds", type=int, default=3, help="runs of ours, and of `single`")
    parser.add_argument("--tolerance", type=float, default=1e-6,
                        help="ours: share of the first gradient's norm")
    parser.add_argument("--their-tolerance", type=float, default=1e-4,
                        help="scikit-learn's tol: largest element of the mean gradient")
    parser.add_argument("--reference", action="store_true",
                        help="compare binary fits with newton-cholesky in float64 too")
    parser.add_argument("--program", help="our side, instead of building it")
    args = parser.parse_args()
    import sklearn
    from threadpoolctl import threadpool_info
    kernels = {f"{pool['internal_api']} {pool.get('architecture')}" for pool in threadpool_info()
               if pool["user_api"] == "blas"}
    print(f"{os.cpu_count()} cores, scikit-learn {sklearn.__version__} on {sorted(kernels)}, "
          f"tolerances {args.tolerance} and {args.their_tolerance}", flush=True)
    program = args.program or build()
    for name, (case, rows) in CASES.items():
        if args.only in (None, name):
            with tempfile.TemporaryDirectory() as folder:
                folder = pathlib.Path(folder)
                case(Ours(program, folder), folder, args.rows or rows, args)


if __name__ == "__main__":
    if pathlib.Path(sys.prefix).resolve() != VENV.resolve():
        reexecute()
    main()
