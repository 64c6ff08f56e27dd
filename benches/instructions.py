#!/usr/bin/env python3
"""Counts the instructions of one residual block under callgrind, on one thread.

    python3 benches/instructions.py [--only "384 32 8 forward"] [--program FILE]

Unlike times, counts hardly change from run to run or with what else a machine does. Each count is
the difference between a process that runs the block twice and one that runs it once, so that
start-up falls out; all of them take half an hour. valgrind does not know AVX-512: the counts are those of
the AVX2 path. Beside them stand the multiplications of a block that is computed directly, and how
many of them there are for each instruction that was executed: direct sums could not pass 8, the
lanes of a register, and must also load.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "peers"))
import cpu  # noqa: E402

# Width, resolution, batch.
SHAPES = [(384, 32, 8), (512, 16, 8), (384, 8, 8), (384, 4, 8), (384, 1, 8)]


def count(program, case, runs):
    """Instructions of a process that runs a case some times."""
    environment = dict(os.environ, VDVAE_INSTRUCTION_SET="avx2", RAYON_NUM_THREADS="1")
    with tempfile.TemporaryDirectory() as folder:
        command = ["taskset", "-c", "0", "valgrind", "--tool=callgrind",
                   f"--callgrind-out-file={folder}/out", program, "serve"]
        done = subprocess.run(command, input=f"{case}\n" * runs, env=environment, check=True,
                              text=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    return int(re.search(r"Collected : (\d+)", done.stderr)[1])


def products(width, resolution, n):
    """Multiplications of a block's forward pass, done directly."""
    middle, kernel = width // 4, 9 if resolution > 2 else 1
    return n * resolution**2 * (2 * width * middle + 2 * kernel * middle**2)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--program", help="the built peer program, instead of building it")
    parser.add_argument("--only", default="", help="blocks that begin with this")
    args = parser.parse_args()
    program = args.program or cpu.build()
    print(f"{'case':24} {'instructions':>14} {'products':>14} {'ratio':>7}")
    for width, resolution, n in SHAPES:
        for what, factor in (("forward", 1), ("both", 3)):
            case = f"block {width} {resolution} {n} {what}"
            if not case.startswith(f"block {args.only}"):
                continue
            found = count(program, case, 2) - count(program, case, 1)
            direct = factor * products(width, resolution, n)
            print(f"{case:24} {found:14,} {direct:14,} {direct / found:7.2f}", flush=True)


if __name__ == "__main__":
    main()
