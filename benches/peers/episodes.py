#!/usr/bin/env python3
"""Times our few-shot episodes beside EasyFSL's, in turn, and prints the ratios.

    python3 benches/peers/episodes.py [--rounds 5] [--theirs 200] [--only 5way5shot]

Makes a virtual environment in target/peers-episodes with EasyFSL and PyTorch from PyPI, builds
`benches/peers/episodes.rs` in release, and gives both sides the same float32 embeddings: 659 classes
of 20 rows, the shape of Omniglot's evaluation characters, 512 columns. Theirs is
`easyfsl.utils.evaluate` of `PrototypicalNetworks` on a `FeaturesDataset`, with centring on the base
mean and L2 normalisation (ours is CL2N, the same classifier), its `TaskSampler` and PyTorch's
`DataLoader`, in this process or with two workers, whichever is faster. Ours samples, centres and
normalises within the time too. Ours does 10,000 episodes; theirs does `--theirs` of them and its
time is scaled in proportion, less what two workers take to start. Episodes are drawn by each side's
own generator, so that the accuracies agree up to chance. Ratios are ours over theirs, of medians over
the rounds; below 1 is faster.
"""

import argparse
import json
import os
import pathlib
import random
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
VENV = ROOT / "target" / "peers-episodes"
CLASSES, EACH, COLUMNS, QUERIES, EPISODES = 659, 20, 512, 15, 10_000
CASES = [(5, 5), (5, 1), (20, 5)]


def reexecute():
    """Runs this script again with the virtual environment's interpreter."""
    python = VENV / "bin" / "python"
    if not python.exists():
        subprocess.check_call([sys.executable, "-m", "venv", str(VENV)])
        install = [str(python), "-m", "pip", "install", "-q", "easyfsl", "torch", "numpy"]
        subprocess.check_call(install)
    os.execv(python, [str(python), *sys.argv])


def build():
    """Path of our side's program."""
    command = ["cargo", "bench", "--bench", "peer_episodes", "--no-run", "--message-format=json"]
    out = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    messages = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
    return next(m["executable"] for m in messages
                if m.get("target", {}).get("name") == "peer_episodes" and m.get("executable"))


class Ours:
    """Our program, which answers each case with milliseconds and the mean accuracy."""

    def __init__(self, program, folder):
        pipes = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.process = subprocess.Popen([program, "serve"], **pipes)
        self.folder = folder

    def run(self, ways, shots, episodes):
        words = [self.folder, CLASSES * EACH, COLUMNS, ways, shots, QUERIES, episodes, 0]
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            sys.exit("our side failed")
        milliseconds, accuracy = map(float, line.split())
        return milliseconds / 1e3, accuracy


class EasyFsl:
    """Prototypical evaluation of embeddings, with some number of workers."""

    def __init__(self, embeddings, labels, base, workers):
        import torch
        from easyfsl.datasets import FeaturesDataset
        from easyfsl.methods import PrototypicalNetworks
        names = [str(label) for label in range(CLASSES)]
        self.dataset = FeaturesDataset(labels, torch.from_numpy(embeddings), names)
        self.model = PrototypicalNetworks(torch.nn.Identity(), feature_normalization=2.0,
                                          feature_centering=torch.from_numpy(base))
        self.workers = workers

    def run(self, ways, shots, episodes):
        from easyfsl.samplers import TaskSampler
        from easyfsl.utils import evaluate
        from torch.utils.data import DataLoader, Sampler
        # EasyFSL 1.5 passes an argument that samplers of newer versions of PyTorch do not take.
        Sampler.__init__ = lambda self, data_source=None: None
        random.seed(0)
        sampler = TaskSampler(self.dataset, ways, shots, QUERIES, episodes)
        loader = DataLoader(self.dataset, batch_sampler=sampler, num_workers=self.workers,
                            collate_fn=sampler.episodic_collate_fn)
        start = time.perf_counter()
        accuracy = evaluate(self.model, loader, device="cpu", use_tqdm=False)
        return time.perf_counter() - start, accuracy

    def scaled(self, ways, shots, episodes):
        """Seconds for all episodes, less the start of workers."""
        start = self.run(ways, shots, 1)[0] if self.workers else 0.0
        seconds, accuracy = self.run(ways, shots, episodes)
        return (seconds - start) * EPISODES / episodes, accuracy


def data(folder):
    """Embeddings about one centre a class, labels, and the mean of base rows."""
    import numpy as np
    generator = np.random.default_rng(0)
    labels = np.repeat(np.arange(CLASSES, dtype=np.uint32), EACH)
    centres = generator.standard_normal((CLASSES, COLUMNS), dtype=np.float32)
    noise = generator.standard_normal((len(labels), COLUMNS), dtype=np.float32)
    base = generator.standard_normal(COLUMNS, dtype=np.float32)
    embeddings = 0.35 * centres[labels] + noise + base
    embeddings.tofile(folder / "features.f32")
    base.tofile(folder / "base.f32")
    labels.tofile(folder / "labels.u32")
    return embeddings, [int(label) for label in labels], base


def compare(ours, peers, case, rounds, theirs):
    """Prints the medians of one case, run in turn."""
    times = [[] for _ in range(1 + len(peers))]
    accuracies = [0.0] * len(times)
    ours.run(*case, 100)
    for _ in range(rounds):
        found = [ours.run(*case, EPISODES), *(peer.scaled(*case, theirs) for peer in peers)]
        for side, (seconds, accuracy) in enumerate(found):
            times[side].append(seconds)
            accuracies[side] = accuracy
    own, *others = [statistics.median(found) for found in times]
    name = f"{case[0]}way{case[1]}shot{QUERIES}query"
    columns = "".join(f"{seconds:12.2f}" for seconds in [own, *others])
    shares = " ".join(f"{accuracy:.4f}" for accuracy in accuracies[:2])
    print(f"{name:20}{columns} {own / min(others):8.4f}  {shares}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--theirs", type=int, default=200, help="episodes that EasyFSL does")
    parser.add_argument("--only", default="", help="cases that begin with this")
    parser.add_argument("--program", help="our side, instead of building it")
    args = parser.parse_args()
    program = args.program or build()
    import importlib.metadata
    import torch
    print(f"{os.cpu_count()} cores, EasyFSL {importlib.metadata.version('easyfsl')}, PyTorch "
          f"{torch.__version__} ({torch.get_num_threads()} threads); seconds of {EPISODES} "
          f"episodes, theirs scaled from {args.theirs}")
    print(f"{'case':20}{'ours':>12}{'in process':>12}{'2 workers':>12} {'ratio':>8}  accuracies")
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        embeddings, labels, base = data(folder)
        ours = Ours(program, folder)
        peers = [EasyFsl(embeddings, labels, base, workers) for workers in (0, 2)]
        for case in CASES:
            if f"{case[0]}way{case[1]}shot".startswith(args.only):
                compare(ours, peers, case, args.rounds, args.theirs)


if __name__ == "__main__":
    if pathlib.Path(sys.prefix).resolve() != VENV.resolve():
        reexecute()
    main()
