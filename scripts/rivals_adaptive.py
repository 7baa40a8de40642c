"""Steps on the four layers of the adaptive model, ours and in PyTorch, side by side in one run.

    pip install torch numpy
    python scripts/rivals_adaptive.py --threads 2 --images 16

The same computation by what PyTorch has for it: convolutions, scatter for unpooling, max_pool3d with indices
for pooling. A step on the maps is  z <- pool(shrink(z - R'(R z - y) / L));  one on the filters is one product
with the normal operator of their least squares. Milliseconds an image, the median; ratios are PyTorch's time
over ours. Memory is the most that a process had; of ours only with --program, as cargo is a process of its own.
"""

import argparse
import os
import pathlib
import re
import statistics
import subprocess
import time

import torch
from torch.nn.functional import conv2d, conv_transpose2d, max_pool3d, pad
from torch.nn.grad import conv2d_weight

ROOT = pathlib.Path(__file__).resolve().parent.parent
LAYERS = [(15, 3), (50, 2), (100, 2), (150, 1)]


def pool(maps, adjacent):
    """Values and places of the largest magnitudes; windows clipped at the border."""
    n, k, h, w = maps.shape
    grown = [-(-side // size) * size for side, size in ((w, 3), (h, 3), (k, adjacent))]
    padded = pad(maps, (0, grown[0] - w, 0, grown[1] - h, 0, grown[2] - k))
    sizes = (adjacent, 3, 3)
    _, places = max_pool3d(padded.abs()[:, None], sizes, return_indices=True)
    places = places[:, 0]
    values = padded.flatten(1).gather(1, places.flatten(1)).view(places.shape)
    return values, places, padded.shape, (k, h, w)


def unpool(values, places, padded, size):
    k, h, w = size
    out = values.new_zeros(padded).flatten(1)
    out.scatter_(1, places.flatten(1), values.flatten(1))
    return out.view(padded)[:, :k, :h, :w]


def network(layers, images, side):
    torch.manual_seed(0)
    planes, size, filters, switches = 1, side, [], []
    for l, (maps, adjacent) in enumerate(LAYERS[:layers]):
        f = torch.randn(planes, maps, 7, 7)
        filters.append(f / f.square().sum((0, 2, 3), keepdim=True).sqrt())
        size += 6
        if l < layers - 1:
            _, *switch = pool(torch.randn(images, maps, size, size), adjacent)
            switches.append(switch)
            size = -(-size // 3)
            planes = -(-maps // adjacent)
    return filters, switches, torch.randn(images, maps, size, size)


def apply(filters, switches, z, upper=None):
    """R z; with `upper` in place of the top filters."""
    for l in reversed(range(len(filters))):
        f = filters[l] if upper is None or l < len(filters) - 1 else upper
        z = conv2d(z, f.flip(-1, -2))
        if l:
            z = unpool(z, *switches[l - 1])
    return z


def below(filters, switches, r):
    """The adjoint of the layers under the top one."""
    for l in range(len(filters) - 1):
        z = conv_transpose2d(r, filters[l].flip(-1, -2))
        places, padded, size = switches[l]
        k, h, w = size
        z = pad(z, (0, padded[3] - w, 0, padded[2] - h, 0, padded[1] - k))
        r = z.flatten(1).gather(1, places.flatten(1)).view(places.shape)
    return r


def steps(layers, images, side):
    filters, switches, z = network(layers, images, side)
    y = torch.randn(images, 1, side, side)
    top, adjacent = filters[-1], LAYERS[layers - 1][1]
    state = [z]

    def maps():
        z = state[0]
        r = below(filters, switches, apply(filters, switches, z) - y)
        v = z - conv_transpose2d(r, top.flip(-1, -2)) / 1e3
        v = torch.sign(v) * (v.abs() - 1e-3).clamp_min(0)
        state[0] = unpool(*pool(v, adjacent))

    def normal():
        z = state[0]
        r = below(filters, switches, apply(filters, switches, z, top))
        shape = (r.shape[1], z.shape[1], 7, 7)
        conv2d_weight(z, shape, r)

    return maps, normal


def median(run, seconds):
    times, began = [], time.perf_counter()
    while len(times) < 3 or time.perf_counter() - began < seconds:
        start = time.perf_counter()
        run()
        times.append((time.perf_counter() - start) * 1e3)
    return statistics.median(times[1:])


def ours(arguments):
    command = ["cargo", "bench", "--offline", "--bench", "adaptive", "--", "--images", str(arguments.images)]
    command += ["--side", str(arguments.side), "--seconds", str(arguments.seconds)]
    if arguments.program:
        command = [arguments.program, *command[command.index("--") + 1 :]]
    environment = os.environ | {"RAYON_NUM_THREADS": str(arguments.threads)}
    found, most = {}, 0
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            most = max(most, peak(process.pid))
            words = line.replace("|", " ").split()
            if len(words) == 4 and words[0].isdigit():
                found[int(words[0]), words[1]] = float(words[3])
    return found, most


def peak(process="self"):
    """The most memory that a process had, in MiB; on Linux."""
    status = pathlib.Path(f"/proc/{process}/status").read_text()
    return int(re.search(r"VmHWM:\s*(\d+)", status + "VmHWM: 0")[1]) / 1024


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=16)
    parser.add_argument("--side", type=int, default=150)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--program", help="the built benchmark, in place of cargo")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    mine, most = ours(arguments)
    most = {"ours": most, "PyTorch before its first step": peak()}
    print("| layer | step | ours, ms | PyTorch, ms | ratio |\n|---|---|---|---|---|")
    with torch.no_grad():
        for layers in range(1, 5):
            for name, run in zip(("maps", "filters"), steps(layers, arguments.images, arguments.side)):
                theirs = median(run, arguments.seconds) / arguments.images
                own = mine[layers, name]
                print(f"| {layers} | {name} | {own:.2f} | {theirs:.2f} | {theirs / own:.1f} |")
    most["PyTorch"] = peak()
    print("\nMost memory, MiB: " + ", ".join(f"{who} {most:.0f}" for who, most in most.items()))


if __name__ == "__main__":
    main()
