#!/usr/bin/env python3
"""Times training steps and latent extraction beside PyTorch's on one GPU, in turn.

    python3 benches/peers/gpu.py                       builds our side, on a machine with Rust
    python3 benches/peers/gpu.py --program peer_gpu    takes it from elsewhere
    python3 benches/peers/gpu.py --device cpu          sees that it works, on a tiny network

Needs PyTorch for CUDA in the interpreter that runs it. Our side is the benchmark `peer_gpu`; to carry
it, build it with `cargo bench --bench peer_gpu --no-run --features cuda,cudnn` and copy the file
that is named at the end, and benches/peers with it. Where it runs it needs the libraries that PyTorch
brings, which this script finds.

Each case runs on every side alternately, in bursts of about a second with nothing waited for inside;
what counts is the median over the rounds. PyTorch computes in float32 with TensorFloat-32, and in
bfloat16 under autocast with channels last, both as they are and through torch.compile. Ratios are
ours in bf16 over PyTorch's bfloat16, and ours in tf32 over its TensorFloat-32; below 1 is faster, or
smaller. Memory is the highest sum of what was allocated in the process, in MiB.
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
CASES = [(kind, preset, n) for kind in ("train", "extract")
         for preset, n in (("cifar10", 64), ("imagenet64", 16), ("ffhq256", 4))]
BURST = 1.0  # seconds


def build(cuda):
    """Path of our side's program."""
    command = ["cargo", "bench", "--bench", "peer_gpu", "--no-run", "--message-format=json"]
    command += ["--features", "cuda,cudnn"] if cuda else []
    out = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    messages = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
    return next(m["executable"] for m in messages
                if m.get("target", {}).get("name") == "peer_gpu" and m.get("executable"))


def libraries():
    """Folders of the CUDA libraries in PyTorch's packages."""
    import torch
    site = pathlib.Path(torch.__file__).resolve().parents[1]
    found = [folder for folder in sorted(site.glob("nvidia/**/lib")) if any(folder.glob("*.so*"))]
    return [str(site / "torch" / "lib"), *map(str, found)]


class Ours:
    """A process of ours in one precision."""

    def __init__(self, program, device, precision, recompute=False):
        paths = [*libraries(), os.environ.get("LD_LIBRARY_PATH", "")]
        environment = {**os.environ, "LD_LIBRARY_PATH": ":".join(filter(None, paths))}
        pipes = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.process = subprocess.Popen([program, "serve", device], env=environment, **pipes)
        self.precision, self.hidden = precision, "recomputed" if recompute else "kept"
        self.name = f"ours {precision}" + (" recomputed" if recompute else "")

    def ask(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise RuntimeError(f"our side failed at `{line}`")
        return float(answer)

    def burst(self, case, count):
        kind, preset, n = case
        hidden = self.hidden if kind == "train" else "-"
        return self.ask(f"{kind} {preset} {n} {self.precision} {hidden} {count}")

    def memory(self):
        return self.ask("memory")

    def close(self):
        self.process.stdin.close()
        self.process.wait()


class Torch:
    """PyTorch in one precision."""

    def __init__(self, device, precision, compiled=False):
        import torch
        import network
        self.torch, self.network = torch, network
        self.device, self.precision, self.compiled = torch.device(device), precision, compiled
        self.name = f"torch {precision}" + (" compiled" if compiled else "")
        self.case, self.work = None, None

    def burst(self, case, count):
        self.torch.backends.cuda.matmul.allow_tf32 = self.precision != "f32"
        self.torch.backends.cudnn.allow_tf32 = self.precision != "f32"
        self.torch.backends.cudnn.benchmark = True
        if case != self.case:
            self.forget()
            self.case, self.work = case, self.make(*case)
        self.wait()
        start = time.perf_counter()
        for _ in range(count):
            self.work()
        self.wait()
        return (time.perf_counter() - start) * 1e3 / count

    def wait(self):
        if self.device.type == "cuda":
            self.torch.cuda.synchronize(self.device)

    def forget(self):
        self.case = self.work = None
        self.torch._dynamo.reset()
        if self.device.type == "cuda":
            self.torch.cuda.empty_cache()

    def memory(self):
        """The highest sum since it was asked before."""
        if self.device.type != "cuda":
            return 0.0
        found = self.torch.cuda.max_memory_allocated(self.device) / 2**20
        self.torch.cuda.reset_peak_memory_stats(self.device)
        return found

    def close(self):
        self.forget()

    def autocast(self):
        torch = self.torch
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16")

    def make(self, kind, preset, n):
        torch = self.torch
        torch.manual_seed(0)
        layout = dict(memory_format=torch.channels_last)
        net = self.network.Network(preset).to(self.device).to(**layout)
        x = torch.randn(n, 3, net.size, net.size, device=self.device).to(**layout)
        wrap = torch.compile if self.compiled else lambda function: function
        if kind == "extract":
            latents = wrap(net.latents)

            def read():
                with torch.no_grad(), self.autocast():
                    return [mean.float() for mean in latents(x)]
            return read
        return self.train_step(net, wrap(net.loss), x)

    def train_step(self, net, loss, x):
        torch = self.torch
        target = torch.randint(0, 256, x.shape, device=self.device).float() / 127.5 - 1
        parameters = list(net.parameters())
        average = [p.detach().clone() for p in parameters]
        optimizer = torch.optim.AdamW(parameters, lr=2e-4, betas=(0.9, 0.9), weight_decay=0.01,
                                      fused=True)

        def step():
            optimizer.zero_grad(set_to_none=True)
            with self.autocast():
                value = loss(x, target)
            value.backward()
            torch.nn.utils.clip_grad_norm_(parameters, 200.0)
            optimizer.step()
            torch._foreach_lerp_(average, [p.detach() for p in parameters], 2e-4)
        return step


def count(milliseconds):
    """Runs in a burst."""
    return max(1, round(BURST * 1e3 / milliseconds))


def compare(case, sides, rounds):
    """Median milliseconds of each side run in turn, and its memory; None for a side that failed."""
    counts = {}
    for side in sides:
        try:
            for _ in range(2):  # algorithms are chosen and graphs compiled; twice is enough
                side.burst(case, 2)
            side.memory()
            counts[side] = count(side.burst(case, 3))
        except Exception as error:  # out of memory, say: the others go on
            print(f"{side.name}: {str(error).splitlines()[0]}", file=sys.stderr)
    times = {side: [] for side in counts}
    for _ in range(rounds):
        for side, found in times.items():
            found.append(side.burst(case, counts[side]))
    return {side.name: (statistics.median(found), side.memory()) for side, found in times.items()}


def report(case, found):
    kind, preset, n = case
    for name, (milliseconds, memory) in found.items():
        speed = n * 1e3 / milliseconds
        print(f"{kind:8} {preset:11} {n:3} {name:22} {milliseconds:10.2f} {speed:10.1f} "
              f"{memory:10.0f}", flush=True)
    pairs = [("ours bf16", "torch bf16"), ("ours bf16", "torch bf16 compiled"),
             ("ours tf32", "torch tf32"), ("ours bf16 recomputed", "ours bf16"),
             ("ours f32", "torch f32")]
    for ours, theirs in pairs:
        if ours in found and theirs in found:
            time_ratio = found[ours][0] / found[theirs][0]
            memory = found[ours][1] / found[theirs][1] if found[theirs][1] else float("nan")
            print(f"         {ours} / {theirs}: time {time_ratio:.2f}, memory {memory:.2f}",
                  flush=True)


def sides_of(args, program, cuda):
    """What runs in turn; f32 alone on a CPU."""
    if not cuda:
        theirs, ours = [("f32", False)], [("f32", False)]
    else:
        theirs = [("tf32", False), ("bf16", False), ("bf16", True)]
        ours = [("tf32", False), ("bf16", False), ("bf16", True)]
    sides = [Ours(program, args.device, *side) for side in ours] if program else []
    return sides + [Torch(args.device, *side) for side in theirs]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--program", help="our side, built before; `none` leaves it out")
    parser.add_argument("--device", default="cuda:0", help="cuda:N, or cpu for a tiny network")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", default="", help="cases that begin with this: `train cifar10`")
    args = parser.parse_args()
    try:
        import torch
    except ImportError:
        sys.exit("gpu.py: expected PyTorch in this interpreter: pip install torch")
    cuda = args.device != "cpu"
    if cuda and not torch.cuda.is_available():
        sys.exit(f"gpu.py: --device {args.device}: PyTorch finds no GPU")
    program = None if args.program == "none" else args.program or build(cuda)
    name = torch.cuda.get_device_name(args.device) if cuda else platform.machine()
    print(f"{name}, PyTorch {torch.__version__}, CUDA {torch.version.cuda}")
    print(f"{'case':24} {'side':22} {'ms':>10} {'images/s':>10} {'MiB':>10}")
    for case in CASES if cuda else [("train", "tiny", 4), ("extract", "tiny", 4)]:
        if not " ".join(map(str, case)).startswith(args.only):
            continue
        sides = sides_of(args, program, cuda)
        report(case, compare(case, sides, args.rounds))
        for side in sides:
            side.close()


if __name__ == "__main__":
    sys.path.insert(0, str(pathlib.Path(__file__).parent))
    main()
