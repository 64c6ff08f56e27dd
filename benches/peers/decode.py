#!/usr/bin/env python3
"""Times decoding JPEG files to 32x32 beside PyTorch's DataLoader with PIL and two workers.

    python3 benches/peers/decode.py --folder img_align_celeba [--rounds 5]
    python3 benches/peers/decode.py

Both sides read every file of the folder, cut the central square and resize it with an antialiased
bilinear filter, in batches of 256, in turn; without a folder, 4,000 pictures of 89x109 are written
and used. Workers of the DataLoader start once, before the clock. Prints microseconds a picture, of
medians over the rounds, and the ratio; below 1 is faster. The virtual environment is `cpu.py`'s,
with Pillow.
"""

import argparse
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import cpu


def write_pictures(folder, count):
    """Smooth random pictures with some detail, which compress about as photographs do."""
    import numpy as np
    from PIL import Image
    generator = np.random.default_rng(0)
    for index in range(count):
        coarse = Image.fromarray(generator.integers(0, 256, (7, 6, 3), dtype=np.uint8))
        smooth = np.asarray(coarse.resize((89, 109), Image.BICUBIC), dtype=np.float32)
        noisy = smooth + generator.normal(0, 6, smooth.shape)
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(
            folder / f"{index:06}.jpg", quality=90)


class Pictures:
    """A data set of PyTorch's kind."""

    def __init__(self, files):
        self.files = files

    def __len__(self):
        return len(self.files)

    def __getitem__(self, index):
        import numpy as np
        import torch
        from PIL import Image
        with Image.open(self.files[index]) as picture:
            picture = picture.convert("RGB")
            side = min(picture.size)
            left, top = ((length - side) // 2 for length in picture.size)
            box = (left, top, left + side, top + side)
            picture = picture.resize((32, 32), Image.BILINEAR, box=box)
        return torch.from_numpy(np.array(picture))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=pathlib.Path, help="JPEG files, instead of our own")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--program", help="our side, instead of building it")
    args = parser.parse_args()
    from torch.utils.data import DataLoader
    with tempfile.TemporaryDirectory() as made:
        folder = args.folder
        if folder is None:
            folder = pathlib.Path(made)
            write_pictures(folder, 4000)
        files = sorted(folder.glob("*.jpg"))
        loader = DataLoader(Pictures(files), batch_size=256, num_workers=2,
                            persistent_workers=True)
        ours, case = cpu.Ours(args.program or cpu.build()), f"decode {folder.resolve()}"

        def theirs():
            start = time.perf_counter()
            for _ in loader:
                pass
            return 1000 * (time.perf_counter() - start)

        theirs(), ours.run(case)
        times = [(ours.run(case), theirs()) for _ in range(args.rounds)]
        own, other = (1000 * statistics.median(side) / len(files) for side in zip(*times))
        print(f"{len(files)} pictures: ours {own:.1f} us a picture, DataLoader {other:.1f} us, "
              f"ratio {own / other:.2f}")


if __name__ == "__main__":
    if pathlib.Path(sys.prefix).resolve() != cpu.VENV.resolve():
        cpu.reexecute()
    try:
        import PIL  # noqa: F401
    except ImportError:
        subprocess.check_call([sys.executable, "-m", "pip", "install", "-q", "pillow"])
    main()
