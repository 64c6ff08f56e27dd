#!/usr/bin/env python3
"""Times our operators and networks beside PyTorch's, in turn, and prints the ratios.

    python3 benches/peers/cpu.py [--rounds 7] [--only block]
    python3 benches/peers/cpu.py --only peak

Makes a virtual environment in target/peers with PyTorch from PyPI, builds `benches/peers/ours.rs`
in release, and then runs each case on both sides alternately on the same cores, PyTorch in both
memory layouts; short cases several times a turn. Ratios are ours over PyTorch's better layout, of
medians over the rounds; below 1 is faster. `peak` cases give the highest memory of a process of its own that runs the case three
times, in MiB, above what the process held before (libraries, mostly).
"""

import argparse
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
VENV = ROOT / "target" / "peers"
CASES = [
    "block 384 32 8 forward", "block 384 32 8 both", "block 512 16 8 both",
    "block 384 8 8 forward", "block 384 8 8 both", "block 384 4 8 forward", "block 384 4 8 both",
    "block 384 1 8 forward", "block 384 1 8 both",
    "extract cifar10 8 all", "extract cifar10 1 all", "train cifar10 8 step",
    "extract imagenet64 4 31",
]
PEAKS = ["train cifar10 8 step"]


def reexecute():
    """Runs this script again with the virtual environment's interpreter."""
    python = VENV / "bin" / "python"
    if not python.exists():
        subprocess.check_call([sys.executable, "-m", "venv", str(VENV)])
        subprocess.check_call([str(python), "-m", "pip", "install", "-q", "torch", "numpy"])
    os.execv(python, [str(python), *sys.argv])


def build():
    """Path of our side's program."""
    command = ["cargo", "bench", "--bench", "peers", "--no-run", "--message-format=json"]
    out = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    messages = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
    return next(m["executable"] for m in messages
                if m.get("target", {}).get("name") == "peers" and m.get("executable"))


class Ours:
    """Our program, which answers each case it reads with the milliseconds of one run."""

    def __init__(self, program):
        pipes = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.process = subprocess.Popen([program, "serve"], **pipes)

    def run(self, case):
        self.process.stdin.write(case + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"our side failed at `{case}`")
        return float(line)


class Torch:
    """PyTorch in one memory layout."""

    def __init__(self, channels_last):
        import torch
        import network
        self.torch, self.network = torch, network
        self.format = torch.channels_last if channels_last else torch.contiguous_format
        self.made = {}

    def run(self, case):
        if case not in self.made:
            self.made.clear()
            self.made[case] = self.make(*case.split())
        start = time.perf_counter()
        self.made[case]()
        return (time.perf_counter() - start) * 1e3

    def make(self, kind, what, a, b, *rest):
        torch = self.torch
        torch.manual_seed(0)
        if kind == "block":
            width, resolution, n = int(what), int(a), int(b)
            block = self.network.Block(width, width // 4, width, resolution, residual=True)
            block = block.to(memory_format=self.format)
            x = torch.randn(n, width, resolution, resolution).to(memory_format=self.format)
            if rest[0] == "forward":
                return lambda: self.quiet(lambda: block(x))
            x.requires_grad_(True)

            def both():
                block.zero_grad(set_to_none=True)
                x.grad = None
                block(x).sum().backward()
            return both
        net = self.network.Network(what).to(memory_format=self.format)
        x = torch.randn(int(a), 3, net.size, net.size).to(memory_format=self.format)
        if kind == "extract":
            layers = None if b == "all" else int(b)
            return lambda: self.quiet(lambda: net.latents(x, layers))
        return self.train_step(net, x)

    def quiet(self, work):
        with self.torch.no_grad():
            work()

    def train_step(self, net, x):
        torch = self.torch
        target = torch.randint(0, 256, x.shape).float() / 127.5 - 1
        parameters = list(net.parameters())
        average = [p.detach().clone() for p in parameters]
        optimizer = torch.optim.AdamW(parameters, lr=2e-4, betas=(0.9, 0.9), weight_decay=0.01,
                                      fused=True)

        def step():
            optimizer.zero_grad(set_to_none=True)
            net.loss(x, target).backward()
            torch.nn.utils.clip_grad_norm_(parameters, 200.0)
            optimizer.step()
            torch._foreach_lerp_(average, [p.detach() for p in parameters], 2e-4)
        return step


TURN = 150.0


def turn(side, case):
    """Median milliseconds of runs that follow one another for TURN milliseconds, at least one: a
    run of a millisecond after another process's says most about waking threads."""
    found = []
    while not found or sum(found) < TURN:
        found.append(side.run(case))
    return statistics.median(found)


def compare(case, sides, rounds):
    """Median milliseconds of each side, run in turn."""
    for side in sides:
        side.run(case)
    times = [[] for _ in sides]
    for _ in range(rounds):
        for side, found in zip(sides, times):
            found.append(turn(side, case))
    return [statistics.median(found) for found in times]


def memory(name):
    """A figure of this process, in MiB."""
    status = pathlib.Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) / 1024 for line in status.splitlines()
                if line.startswith(name))


def peak_of_torch(case, layout):
    """Prints memory before and at its highest; runs in a process of its own."""
    side = Torch(channels_last=layout == "NHWC")
    before = memory("VmRSS")
    for _ in range(3):
        side.run(case)
    print(before, memory("VmHWM"))


def peaks(program, case):
    """Prints a line of peaks above what each process held before."""
    here = [sys.executable, __file__, "--peak-of-torch", case]
    commands = [[program, "peak", case], here + ["NCHW"], here + ["NHWC"]]
    found = []
    for command in commands:
        out = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        before, highest = map(float, out.split())
        found.append(highest - before)
    ours, first, last = found
    print(f"{'peak ' + case:28} {ours:10.0f} {first:10.0f} {last:10.0f} "
          f"{ours / min(first, last):7.2f}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", default="", help="cases that begin with this")
    parser.add_argument("--peak-of-torch", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.peak_of_torch:
        return peak_of_torch(*args.peak_of_torch)
    program = build()
    import torch
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, "
          f"PyTorch {torch.__version__} ({torch.get_num_threads()} threads)")
    print(f"{'case':28} {'ours ms':>10} {'NCHW ms':>10} {'NHWC ms':>10} {'ratio':>7}")
    sides = [Ours(program), Torch(channels_last=False), Torch(channels_last=True)]
    for case in CASES:
        if not case.startswith(args.only):
            continue
        ours, first, last = compare(case, sides, args.rounds)
        ratio = ours / min(first, last)
        print(f"{case:28} {ours:10.2f} {first:10.2f} {last:10.2f} {ratio:7.2f}", flush=True)
    for case in PEAKS:
        if ("peak " + case).startswith(args.only):
            peaks(program, case)


if __name__ == "__main__":
    if pathlib.Path(sys.prefix).resolve() != VENV.resolve():
        reexecute()
    sys.path.insert(0, str(pathlib.Path(__file__).parent))
    main()
