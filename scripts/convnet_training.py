"""Train the network of `deconvnet convnet train` in PyTorch too, in turns: accuracy and time of both.

    pip install torch numpy pillow --index-url https://download.pytorch.org/whl/cpu --extra-index-url https://pypi.org/simple
    cargo build --release
    python scripts/convnet_training.py DATA VALIDATION --epochs 10 --threads 2

DATA and VALIDATION are folders with a folder of images for each class. Both learn from the same images, at
their own random weights, order, shifts and mirrors, by the same rule. The machine may be shared, so epochs
are timed in turns, ours and PyTorch's, and seconds of processor time are told beside those of the clock.
"""

import argparse
import json
import os
import resource
import subprocess
import tempfile
import time
from pathlib import Path

import numpy
import torch
from PIL import Image
from torch import nn
from torch.nn.functional import cross_entropy

MAPS = [(96, 7), (256, 5), (384, 3), (384, 3), (256, 3)]


def network(side, classes, width):
    """The layers of `Architecture`, in PyTorch."""
    share = lambda n: max(1, int(n * width + 0.5))
    halvings = 0
    while halvings < 5 and -(-side // (2 << halvings)) >= 4:
        halvings += 1
    has = lambda rank: rank == 0 or rank < halvings
    strides = {0: has(0), 1: has(4)}
    pools = {0: has(1), 1: has(2), 4: has(3)}
    layers, below = [], 3
    for i, (maps, size) in enumerate(MAPS):
        stride = 2 if strides.get(i) else 1
        layers += [nn.Conv2d(below, share(maps), size, stride, size // 2), nn.ReLU()]
        if pools.get(i):
            layers.append(nn.MaxPool2d(3, 2, 1))
            side = -(-side // 2)
        if i < 2:
            layers.append(nn.LocalResponseNorm(5, 1.0, 0.75, 1.0))
        side, below = -(-side // stride), share(maps)
    hidden = share(4096)
    layers += [nn.Flatten(), nn.Linear(below * side * side, hidden), nn.ReLU(), nn.Dropout()]
    layers += [nn.Linear(hidden, hidden), nn.ReLU(), nn.Dropout(), nn.Linear(hidden, classes)]
    net = nn.Sequential(*layers)
    for layer in net:
        if hasattr(layer, "weight"):
            nn.init.normal_(layer.weight, std=(2 / layer.weight[0].numel()) ** 0.5)
            nn.init.zeros_(layer.bias)
    return net


def images(folder):
    """Pixels of 0 to 255 and labels."""
    classes = sorted(path.name for path in Path(folder).iterdir() if path.is_dir())
    files = [(file, i) for i, name in enumerate(classes) for file in sorted((Path(folder) / name).iterdir())]
    pixels = numpy.stack([numpy.asarray(Image.open(file).convert("RGB")) for file, _ in files])
    return torch.tensor(pixels).permute(0, 3, 1, 2).contiguous(), torch.tensor([i for _, i in files])


class Training:
    """The rule of `Trainer`, in PyTorch."""

    def __init__(self, data, validation, width, epochs, seed):
        torch.manual_seed(seed)
        self.x, self.y = images(data)
        self.held_out = images(validation)
        self.side = self.x.shape[-1]
        pixels = self.x.double() / 255
        self.mean, self.std = (
            f(pixels, (0, 2, 3)).float().view(1, 3, 1, 1) for f in (torch.mean, torch.std)
        )
        width = width or min(max(self.side / 128, 0.125), 1)
        self.net = network(self.side, int(self.y.max()) + 1, width)
        biases = [p for p in self.net.parameters() if p.ndim == 1]
        weights = [p for p in self.net.parameters() if p.ndim > 1]
        groups = [{"params": weights, "weight_decay": 5e-4}, {"params": biases}]
        self.optimizer = torch.optim.SGD(groups, lr=1e-2, momentum=0.9)
        self.patience, self.best, self.waited = max(1, epochs // 10), float("inf"), 0

    def batch(self, chosen):
        most = self.side // 8
        x = (self.x[chosen].float() / 255 - self.mean) / self.std
        x = nn.functional.pad(x, [most] * 4, mode="reflect")
        shifts = torch.randint(0, 2 * most + 1, (len(chosen), 2)).tolist()
        x = torch.stack([x[n, :, i : i + self.side, j : j + self.side] for n, (i, j) in enumerate(shifts)])
        flips = torch.rand(len(chosen)) < 0.5
        x[flips] = x[flips].flip(-1)
        return x

    def epoch(self):
        self.net.train()
        for chosen in torch.randperm(len(self.x)).split(128):
            loss = cross_entropy(self.net(self.batch(chosen)), self.y[chosen])
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            with torch.no_grad():
                for layer in self.net:
                    if isinstance(layer, nn.Conv2d):
                        rms = layer.weight.square().mean((1, 2, 3), keepdim=True).sqrt()
                        layer.weight *= 0.1 / rms.clamp(min=0.1)
        loss, accuracy = self.measure()
        self.waited += 1
        if loss < self.best:
            self.best, self.waited = loss, 0
        elif self.waited >= self.patience:
            for group in self.optimizer.param_groups:
                group["lr"] /= 10
            self.waited = 0
        return accuracy

    @torch.no_grad()
    def measure(self):
        self.net.eval()
        x, y = self.held_out
        logits = torch.cat([self.net((part.float() / 255 - self.mean) / self.std) for part in x.split(256)])
        return cross_entropy(logits, y).item(), (logits.argmax(1) == y).double().mean().item()


def processor_seconds(who):
    usage = resource.getrusage(who)
    return usage.ru_utime + usage.ru_stime


def ours(program, data, validation, epochs, more, environment, kept=None):
    """The report, processor seconds of all of it, and those of the clock."""
    with tempfile.TemporaryDirectory() as folder:
        line = [program, "convnet", "train", "--data", data, "--validation", validation, "--json"]
        line += ["--epochs", str(epochs), "--run", kept or f"{folder}/run", *more]
        before, began = processor_seconds(resource.RUSAGE_CHILDREN), time.time()
        report = json.loads(subprocess.check_output(line, env=environment))
        after = processor_seconds(resource.RUSAGE_CHILDREN)
        return report, after - before, time.time() - began


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data")
    parser.add_argument("validation")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3, help="epochs timed in turns")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--width", type=float)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--program", default="target/release/deconvnet")
    parser.add_argument("--run", help="folder to keep our run in")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    environment = {**os.environ, "RAYON_NUM_THREADS": str(args.threads)}
    more = ["--seed", str(args.seed)] + (["--width", str(args.width)] if args.width else [])
    run = lambda epochs, kept=None: ours(args.program, args.data, args.validation, epochs, more, environment, kept)

    # Two runs of one and two epochs differ by an epoch, without the reading of images.
    rival = Training(args.data, args.validation, args.width, args.epochs, args.seed)
    table = []
    for _ in range(args.rounds):
        (_, one, _), (_, two, _) = run(1), run(2)
        before, began = processor_seconds(resource.RUSAGE_SELF), time.time()
        rival.epoch()
        table.append((two - one, processor_seconds(resource.RUSAGE_SELF) - before))
        print(f"an epoch, processor seconds: ours {table[-1][0]:.1f}, PyTorch {table[-1][1]:.1f}", flush=True)
    if table:
        ratios = sorted(mine / theirs for mine, theirs in table)
        print(f"ratio, median of {args.rounds}: {ratios[len(ratios) // 2]:.2f}", flush=True)

    report, cpu, clock = run(args.epochs, args.run)
    last = report["last"]["validation_accuracy"]
    print(f"ours: {args.epochs} epochs, accuracy {last:.3f}, best {report['best_accuracy']:.3f}; "
          f"{cpu:.0f} s of processor, {clock:.0f} s", flush=True)
    before, began = processor_seconds(resource.RUSAGE_SELF), time.time()
    rival = Training(args.data, args.validation, args.width, args.epochs, args.seed)
    found = [rival.epoch() for _ in range(args.epochs)]
    cpu, clock = processor_seconds(resource.RUSAGE_SELF) - before, time.time() - began
    print(f"PyTorch: {args.epochs} epochs, accuracy {found[-1]:.3f}, best {max(found):.3f}; "
          f"{cpu:.0f} s of processor, {clock:.0f} s", flush=True)


if __name__ == "__main__":
    main()
