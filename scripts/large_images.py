#!/usr/bin/env python3
"""Memory and time of coding and denoising an image, against its size.

    scripts/large_images.py PROGRAM RUN PHOTO --sides 512,1024,2048 [--whole 1024] [--tile 512] [--gap 1e-3] [--denoise]

Makes square images of PHOTO, mirrored again and again, with white noise of 5 grey levels, and codes each in tiles with the
filters of RUN, those of up to --whole pixels a side also as a whole; prints the table of docs/large-images.md. The memory is the
largest that a process had (VmHWM). Needs Python with numpy and Pillow.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy
from PIL import Image

Image.MAX_IMAGE_PIXELS = None


def make(photo, side, path):
    small = numpy.asarray(Image.open(photo).convert("L"))
    mirrored = numpy.block([[small, small[:, ::-1]], [small[::-1], small[::-1, ::-1]]])
    times = [-(-side // n) for n in mirrored.shape]
    rng = numpy.random.default_rng(side)
    image = numpy.tile(mirrored, times)[:side, :side]
    for rows in range(0, side, 1000):
        part = image[rows : rows + 1000]
        noisy = part + rng.normal(0, 5, part.shape)
        image[rows : rows + 1000] = numpy.clip(noisy, 0, 255).round()
    Image.fromarray(image).save(path, compress_level=1)


def run(command):
    """Seconds and the peak of memory in MiB."""
    begun = time.time()
    process = subprocess.Popen([str(part) for part in command], stdout=sys.stderr)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{command} failed")
    return time.time() - begun, usage.ru_maxrss / 1024


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("run")
    parser.add_argument("photo")
    parser.add_argument("--sides", default="512,1024,2048")
    parser.add_argument("--whole", type=int, default=1024)
    parser.add_argument("--tile", default="512")
    parser.add_argument("--gap", default="1e-3")
    parser.add_argument("--denoise", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=".") as folder:
        folder = Path(folder)
        if args.denoise:
            print("| side | seconds | MiB |\n|---|---|---|")
        else:
            print("| side | coded | seconds | MiB | objective | gap | sweeps | visits |\n|---|---|---|---|---|---|---|---|")
        for side in map(int, args.sides.split(",")):
            image = folder / f"{side}.png"
            make(args.photo, side, image)
            if args.denoise:
                seconds, memory = run([args.program, "denoise", image, "--out", folder / f"{side}-denoised.png"])
                print(f"| {side} | {seconds:.0f} | {memory:.0f} |", flush=True)
                continue
            common = [args.program, "infer", "--checkpoint", args.run, "--images", image, "--solver", "descent"]
            common += ["--max-side", side, "--gap", args.gap, "--quiet"]
            ways = [("in tiles", ["--tile", args.tile])]
            if side <= args.whole:
                ways.append(("whole", ["--force"]))
            for way, options in ways:
                out = folder / f"{side} {way}"
                seconds, memory = run([*common, *options, "--out", out])
                row = json.loads((out / "table.json").read_text())["rows"][0]
                sweeps, visits = (row["sweeps"], row["steps"]) if way == "in tiles" else ("", "")
                gap = row["gap"] / row["objective"]
                print(
                    f"| {side} | {way} | {seconds:.0f} | {memory:.0f} | {row['objective']:.2f} | {gap:.1e} | {sweeps} | {visits} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
