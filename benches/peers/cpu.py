#!/usr/bin/env python3
"""Times our operators and networks beside PyTorch's, in turn, and prints the ratios.

    python3 benches/peers/cpu.py [--rounds 7] [--only block] [--threads 1] [--peers nchw,nhwc]
    python3 benches/peers/cpu.py --only peak

Makes a virtual environment in target/peers with PyTorch from PyPI, builds `benches/peers/ours.rs`
in release, and then runs each case on all sides in turn on the same cores; short cases several times
a turn. Turns in which other processes or virtual machines took the processor are run again.

PyTorch runs in both memory layouts, through `torch.compile` and in bfloat16 (channels last, and
through `torch.compile`), with tcmalloc where it is installed (`libtcmalloc-minimal4` on Debian; the
system's allocator is slower); we run in float32 and in bfloat16. Ratios are ours over PyTorch's best in
the same numbers, of medians over the rounds; below 1 is faster.

`peak` cases give the highest memory of a process of its own that runs the case three times, in MiB,
above what the process held before (libraries, mostly).
"""

import argparse
import ctypes.util
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
    # Filters, and blocks a scale.
    "train pixelcnn:24:2 16 step", "train pixelcnn:64:2 8 step",
]
PEERS = ["nchw", "nhwc", "compiled", "bf16", "bf16c"]
# The best first: with jemalloc large blocks take twice as long, see RESULTS.md.
ALLOCATORS = ["tcmalloc_minimal", "tcmalloc", "jemalloc"]
PEAKS = ["train cifar10 8 step"]


def reexecute():
    """Runs this script again with the virtual environment's interpreter."""
    python = VENV / "bin" / "python"
    if not python.exists():
        subprocess.check_call([sys.executable, "-m", "venv", str(VENV)])
        subprocess.check_call([str(python), "-m", "pip", "install", "-q", "torch", "numpy"])
    allocator = next(filter(None, map(ctypes.util.find_library, ALLOCATORS)), None)
    environment = dict(os.environ, **({"LD_PRELOAD": allocator} if allocator else {}))
    os.execve(python, [str(python), *sys.argv], environment)


def build():
    """Path of our side's program."""
    command = ["cargo", "bench", "--bench", "peers", "--no-run", "--message-format=json"]
    out = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    messages = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
    return next(m["executable"] for m in messages
                if m.get("target", {}).get("name") == "peers" and m.get("executable"))


class Ours:
    """Our program, which answers each case it reads with the milliseconds of one run."""

    def __init__(self, program, *numbers):
        pipes = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        environment = {k: v for k, v in os.environ.items() if k != "LD_PRELOAD"}
        self.process = subprocess.Popen([program, "serve", *numbers], env=environment, **pipes)
        self.pid = self.process.pid

    def run(self, case):
        self.process.stdin.write(case + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"our side failed at `{case}`")
        return float(line)


class Torch:
    """PyTorch in one of the ways of PEERS; but for `nchw`, channels last."""

    def __init__(self, way):
        import torch
        import network
        import pixelcnn
        self.torch, self.network, self.pixelcnn, self.way = torch, network, pixelcnn, way
        self.format = torch.contiguous_format if way == "nchw" else torch.channels_last
        self.type = torch.bfloat16 if way.startswith("bf16") else torch.float32
        self.pid = os.getpid()
        self.made = {}

    def laid_out(self, it):
        return it.to(dtype=self.type, memory_format=self.format)

    def compiled(self, it):
        compiles = self.way in ("compiled", "bf16c")
        return self.torch.compile(it, dynamic=False) if compiles else it

    def run(self, case):
        if case not in self.made:
            self.made.clear()
            # What was compiled for other cases counts towards a limit.
            self.torch._dynamo.reset()
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
            block = self.compiled(self.laid_out(block))
            x = self.laid_out(torch.randn(n, width, resolution, resolution))
            if rest[0] == "forward":
                return lambda: self.quiet(lambda: block(x))
            x.requires_grad_(True)

            def both():
                block.zero_grad(set_to_none=True)
                x.grad = None
                block(x).sum().backward()
            return both
        name, _, sizes = what.partition(":")
        if name == "pixelcnn":
            net = self.pixelcnn.PixelCnn(*map(int, sizes.split(":")))
        else:
            net = self.network.Network(what)
        net = net.to(memory_format=self.format)
        x = torch.randn(int(a), 3, net.size, net.size).to(memory_format=self.format)
        if kind == "extract":
            net, x = self.laid_out(net), self.laid_out(x)
            layers = None if b == "all" else int(b)
            latents = self.compiled(net.latents)
            return lambda: self.quiet(lambda: latents(x, layers))
        return self.train_step(net, x)

    def quiet(self, work):
        with self.torch.no_grad():
            work()

    def train_step(self, net, x):
        torch = self.torch
        target = torch.randint(0, 256, x.shape).float() / 127.5 - 1
        loss = self.compiled(net.loss)
        parameters = list(net.parameters())
        average = [p.detach().clone() for p in parameters]
        optimizer = torch.optim.AdamW(parameters, lr=2e-4, betas=(0.9, 0.9), weight_decay=0.01,
                                      fused=True)

        def step():
            optimizer.zero_grad(set_to_none=True)
            with torch.autocast("cpu", torch.bfloat16, enabled=self.type == torch.bfloat16):
                of_batch = loss(x, target)
            of_batch.backward()
            torch.nn.utils.clip_grad_norm_(parameters, 200.0)
            optimizer.step()
            torch._foreach_lerp_(average, [p.detach() for p in parameters], 2e-4)
        return step


TURN = 150.0


def work_of(pid):
    """Processor time of a process so far, in ticks."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def work_of_all():
    """Processor time of all processes so far, and what other virtual machines took, in ticks."""
    user, nice, system, _, _, irq, softirq, steal = map(
        int, pathlib.Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9])
    return user + nice + system + irq + softirq + steal


class Turns:
    """Runs turns, again where something else took the processor."""

    def __init__(self, cores):
        self.cores, self.run, self.refused = cores, 0, 0

    def turn(self, side, case):
        """Median milliseconds of runs that follow one another for TURN milliseconds, at least one:
        a run of a millisecond after another process's says most about waking threads."""
        for _ in range(20):
            pids = {os.getpid(), side.pid}
            own, all_of_them, start = sum(map(work_of, pids)), work_of_all(), time.perf_counter()
            found = []
            while not found or sum(found) < TURN:
                found.append(side.run(case))
            ticks = (time.perf_counter() - start) * os.sysconf("SC_CLK_TCK") * self.cores
            others = (work_of_all() - all_of_them) - (sum(map(work_of, pids)) - own)
            self.run += 1
            if others <= max(2, ticks * 0.07):
                return statistics.median(found)
            self.refused += 1
        sys.exit(f"other work takes the processor: {others} of {ticks:.0f} ticks of the last turn")

    def compare(self, case, sides, rounds):
        """Median milliseconds of each side, run in turn."""
        for side in sides:
            side.run(case)
        times = [[] for _ in sides]
        for _ in range(rounds):
            for side, found in zip(sides, times):
                found.append(self.turn(side, case))
        return [statistics.median(found) for found in times]


def memory(name):
    """A figure of this process, in MiB."""
    status = pathlib.Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) / 1024 for line in status.splitlines()
                if line.startswith(name))


def peak_of_torch(case, way):
    """Prints memory before and at its highest; runs in a process of its own."""
    side = Torch(way)
    before = memory("VmRSS")
    for _ in range(3):
        side.run(case)
    print(before, memory("VmHWM"))


def peaks(program, case):
    """Prints a line of peaks above what each process held before."""
    here = [sys.executable, __file__, "--peak-of-torch", case]
    commands = [[program, "peak", case], here + ["nchw"], here + ["nhwc"]]
    found = []
    for command in commands:
        out = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        before, highest = map(float, out.split())
        found.append(highest - before)
    ours, first, last = found
    print(f"{'peak ' + case:28} {ours:10.0f} {first:10.0f} {last:10.0f} "
          f"{ours / min(first, last):7.2f}", flush=True)


def ratio(found, bf16):
    """Ours over PyTorch's best, in float32 or in bfloat16, where both were run."""
    ours = found.get("ours bf16" if bf16 else "ours")
    theirs = [time for name, time in found.items()
              if not name.startswith("ours") and name.startswith("bf16") == bf16]
    return f"{ours / min(theirs):.2f}" if ours and theirs else ""


def processor():
    """The processor's name."""
    lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", default="", help="cases that begin with this")
    parser.add_argument("--peak-of-torch", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--threads", type=int, help="cores to use; all by default")
    parser.add_argument("--peers", default=",".join(PEERS), help=f"some of {', '.join(PEERS)}")
    args = parser.parse_args()
    peers = args.peers.split(",")
    if unknown := set(peers) - set(PEERS):
        parser.error(f"unknown peer: {', '.join(unknown)}; there are {', '.join(PEERS)}")
    cores = sorted(os.sched_getaffinity(0))
    if args.threads is not None and not 1 <= args.threads <= len(cores):
        parser.error(f"--threads: expected 1 to {len(cores)}, found {args.threads}")
    cores = cores[:args.threads]
    if args.peak_of_torch:
        return peak_of_torch(*args.peak_of_torch)
    program = build()
    os.sched_setaffinity(0, cores)
    import torch
    torch.set_num_threads(len(cores))
    print(f"{processor()}, {len(cores)} cores, PyTorch {torch.__version__}, "
          f"allocator {os.environ.get('LD_PRELOAD', 'of the system')}")
    sides = {"ours": Ours(program), "ours bf16": Ours(program, "bf16")}
    sides.update((way, Torch(way)) for way in peers)
    turns = Turns(len(cores))
    heads = "".join(f"{name:>10}" for name in sides)
    print(f"{'milliseconds':28}{heads} {'f32':>7} {'bf16':>7}")
    for case in CASES:
        if not case.startswith(args.only):
            continue
        # Our PixelCNN++ has float32 only.
        present = {name: side for name, side in sides.items()
                   if "pixelcnn" not in case or name != "ours bf16"}
        found = dict(zip(present, turns.compare(case, present.values(), args.rounds)))
        times = "".join(f"{found[name]:10.2f}" if name in found else f"{'':10}" for name in sides)
        print(f"{case:28}{times} {ratio(found, False):>7} {ratio(found, True):>7}", flush=True)
    print(f"{turns.refused} of {turns.run} turns were run again")
    for case in PEAKS:
        if ("peak " + case).startswith(args.only):
            peaks(program, case)


if __name__ == "__main__":
    if pathlib.Path(sys.prefix).resolve() != VENV.resolve():
        reexecute()
    sys.path.insert(0, str(pathlib.Path(__file__).parent))
    main()
