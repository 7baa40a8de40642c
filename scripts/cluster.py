#!/usr/bin/env python3
"""What learning by several processes costs: measured here at 1 and 2 processes, and from that predicted for more.

    scripts/cluster.py PROGRAM [--svg FILE] [--sizes small,medium,large] [--repeats N]

PROGRAM is a deconvnet with the feature mpi. Every process has one thread. Needs mpirun and Python, no packages; prints
the tables of docs/cluster.md. Every run is repeated, the same work each time; a step takes the least of its times, by the
trace, so that other work on the machine counts little.
"""

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

# planes, maps, side of the filters, side of the images
SIZES = {
    "small": (1, 16, 7, 64),
    "medium": (1, 16, 9, 100),
    "large": (1, 32, 11, 128),
}
GRADIENTS, LANCZOS = 5, 6
# data, Lanczos, gradients, the filters of the first process; energies are as many numbers as maps.
REDUCTIONS = 1 + LANCZOS + GRADIENTS + 1
# Seconds a message and bytes a second: assumed, not measured.
NETWORKS = {"fast network": (2e-6, 10e9), "Ethernet": (30e-6, 1.2e9)}
AT = [2, 8, 64, 512]
# Epochs that are not counted, and as many that are.
WARM = 8


def steps(program, folder, size, batch, processes, count, repeats):
    """Seconds of each step but for the first of an epoch, the least of some repeats; in the first epochs images are read too."""
    runs = [run(program, folder, f"{k}-{size}-{batch}-{processes}", size, batch, processes, count) for k in range(repeats)]
    return [min(each) for each in zip(*runs)]


def run(program, folder, name, size, batch, processes, count):
    """Seconds of each step of one run."""
    planes, maps, side, image = SIZES[size]
    config = f"""
seed = 1
[data]
colour = {str(planes == 3).lower()}
sample_count = {count}
sample_size = {image}
[checkpoint]
every_seconds = 1e9
[train]
solver = "descent"
update_filters = "online"
constraint = "unit-ball"
rounds = 8
filter_steps = {GRADIENTS}
batch = {batch}
[[layer]]
maps = {maps}
size = {side}
epochs = {2 * WARM}
sparsity = {{ of_max = 0.2 }}
"""
    path = Path(folder) / f"{name}.toml"
    path.write_text(config)
    launch = ["mpirun", "--oversubscribe", "--bind-to", "none", "-n", str(processes)] if processes > 1 else []
    folder = Path(folder) / name
    command = [program, "train", "--quiet", "-c", str(path), "--run", str(folder)]
    environment = os.environ | {
        "RAYON_NUM_THREADS": "1",
        "OMPI_ALLOW_RUN_AS_ROOT": "1",
        "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
        "OMPI_MCA_btl_vader_single_copy_mechanism": "none",
    }
    subprocess.run(launch + command, env=environment, check=True, stdout=sys.stderr)
    lines = [json.loads(line) for line in (folder / "trace.jsonl").read_text().splitlines()]
    ends = {}
    for line in lines:
        if line["batch"] is not None:
            ends[(line["epoch"], line["batch"])] = line["seconds"]
    return [ends[e, b] - ends[e, b - 1] for e, b in ends if e >= WARM and b > 0 and (e, b - 1) in ends]


def reduction(numbers, processes, network):
    """Seconds of the sum of so many numbers over all processes: messages to and fro, each byte twice."""
    latency, bandwidth = network
    return 2 * math.ceil(math.log2(processes)) * latency + 16 * numbers * (1 - 1 / processes) / bandwidth


def predicted(of, batch, processes, network):
    """Seconds of a step."""
    own = batch / processes
    if processes == 1:
        return of["fixed"] + own * of["image"]
    # The largest of so many sums of `own` images, each of mean 1 and deviation `spread`.
    slowest = 1 + of["spread"] * math.sqrt(2 * math.log(processes) / max(own, 1))
    return of["fixed"] + math.ceil(own) * of["image"] * slowest + REDUCTIONS * reduction(of["numbers"], processes, network)


def efficiency(of, batch, processes, network):
    return predicted(of, batch, 1, network) / processes / predicted(of, batch, processes, network)


def measure(program, folder, size, repeats):
    planes, maps, side, _ = SIZES[size]
    single = steps(program, folder, size, 1, 1, 8, repeats)
    four, eight, divided = (
        statistics.mean(steps(program, folder, size, b, p, 16, repeats)) for b, p in [(4, 1), (8, 1), (8, 2)]
    )
    image = (eight - four) / 4
    return {
        "numbers": planes * maps * side * side,
        "image": image,
        "fixed": max(four - 4 * image, 0.0),
        "spread": statistics.pstdev(single) / statistics.mean(single),
        "four": four,
        "eight": eight,
        "divided": divided,
    }


def plot(found, file):
    """Predicted efficiency against processes, as SVG."""
    colours = ["#1b6ca8", "#c8553d", "#588157"]
    wide, high, left, low = 640, 360, 60, 310
    x = lambda p: left + math.log2(p) / 9 * (wide - left - 20)
    y = lambda e: low - e * (low - 20)
    text = lambda px, py, words, more="": f'<text x="{px:.0f}" y="{py:.0f}" {more}>{words}</text>'
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {high}" font-family="sans-serif" font-size="12">']
    out.append(f'<rect width="{wide}" height="{high}" fill="white"/>')
    for e in [0, 0.25, 0.5, 0.75, 1]:
        out.append(f'<path d="M{left} {y(e):.0f}H{wide - 20}" stroke="#ddd"/>' + text(left - 8, y(e) + 4, f"{e:.0%}", 'text-anchor="end"'))
    for k in range(10):
        out.append(text(x(2**k), low + 18, 2**k, 'text-anchor="middle"'))
    out.append(text((left + wide) / 2, high - 12, "processes; 512 images a step (lines), 4 images a process (dashes)", 'text-anchor="middle"'))
    for colour, (size, of) in zip(colours, found.items()):
        for dashes, batch in [("", lambda p: 512), ("5 4", lambda p: 4 * p)]:
            points = " ".join(f"{x(2**k):.1f},{y(efficiency(of, batch(2**k), 2**k, NETWORKS['fast network'])):.1f}" for k in range(10))
            out.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2" stroke-dasharray="{dashes}"/>')
        row = list(found).index(size)
        out.append(text(left + 12, low - 16 - 16 * row, size, f'fill="{colour}"'))
    Path(file).write_text("\n".join(out) + "\n</svg>\n")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("--svg")
    parser.add_argument("--sizes", default=",".join(SIZES))
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for size in args.sizes.split(","):
            found[size] = measure(os.path.abspath(args.program), folder, size, args.repeats)
    print("| size | planes, maps, filters, images | numbers of the filters | ms an image | ms a step beside | spread of images |")
    print("|---|---|---|---|---|---|")
    for size, of in found.items():
        planes, maps, side, image = SIZES[size]
        print(
            f"| {size} | {planes}, {maps}, {side} x {side}, {image} x {image} | {of['numbers']:,} | {1e3 * of['image']:.1f} "
            f"| {1e3 * of['fixed']:.1f} | {of['spread']:.0%} |"
        )
    print("\n| size | 8 images on 1 process, ms | on 2 | strong efficiency | 4 images on 1 process, ms | weak efficiency |")
    print("|---|---|---|---|---|---|")
    for size, of in found.items():
        print(
            f"| {size} | {1e3 * of['eight']:.1f} | {1e3 * of['divided']:.1f} | {of['eight'] / 2 / of['divided']:.0%} "
            f"| {1e3 * of['four']:.1f} | {of['four'] / of['divided']:.0%} |"
        )
    for network, speed in NETWORKS.items():
        print(f"\n{network}: {1e6 * speed[0]:.0f} us a message, {speed[1] / 1e9:.1f} GB/s\n")
        print("| size | KiB a process sends in a step | " + " | ".join(f"{p}, strong | {p}, weak" for p in AT[1:]) + " |")
        print("|---|---|" + "---|" * 2 * len(AT[1:]))
        for size, of in found.items():
            sent = REDUCTIONS * 16 * of["numbers"] / 1024
            cells = (f"{efficiency(of, b, p, speed):.0%}" for p in AT[1:] for b in (512, 4 * p))
            print(f"| {size} | {sent:,.0f} | " + " | ".join(cells) + " |")
    if args.svg:
        plot(found, args.svg)


if __name__ == "__main__":
    main()
