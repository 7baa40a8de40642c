#!/usr/bin/env python3
"""Convnets forward and back, beside ONNX Runtime and PyTorch, in one run.

    cargo build --release --bench convnets
    python3 scripts/rivals_convnets.py [MODEL.onnx ...] --side 224 --threads 2

Without models those of AlexNet, SqueezeNet 1.1, ResNet-50 and VGG16, with random weights. numpy, onnx, onnxruntime,
torch and captum are installed into target/rivals-convnets first where this Python lacks them.

Milliseconds an image forward (ONNX Runtime, PyTorch); a unit of the last map with rows and columns back to the pixels
under the rule of deconvnets (PyTorch by its autograd, rectifiers as the rule has them, which is what captum does with
a hook for each; units of one image go back one after the other there, as captum's do); and a place of a square of
64 pixels that covers a part of the image, 32 from one to the next (captum's Occlusion, 16 places at once). The graph
is run in PyTorch node by node from the same file. Each figure is the median of several runs, the contenders in turn,
or their mean processor time; behind a rival's, how many times ours it is.
"""

import argparse
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import time
import venv

ROOT = pathlib.Path(__file__).resolve().parent.parent


PACKAGES = ["numpy", "onnx", "onnxruntime", "torch", "captum"]


def with_packages():
    """Goes on in an environment of its own where a package is missing here."""
    import importlib.util

    if all(importlib.util.find_spec(name) for name in PACKAGES):
        return
    home = ROOT / "target/rivals-convnets"
    python = home / "bin/python"
    if pathlib.Path(sys.prefix) == home:
        sys.exit("the packages cannot be used; delete target/rivals-convnets and try again")
    if not python.exists():
        venv.create(home, with_pip=True)
    index = ["--index-url", "https://download.pytorch.org/whl/cpu", "--extra-index-url", "https://pypi.org/simple"]
    subprocess.check_call([str(python), "-m", "pip", "install", "-q", *PACKAGES, *index])
    os.execv(python, [str(python), *sys.argv])


def known_shapes(folder, side):
    """Networks of known shapes with random weights, as ONNX files."""
    import torch
    from torch import nn

    def conv(below, maps, size, stride=1, pad=0):
        return nn.Sequential(nn.Conv2d(below, maps, size, stride, pad), nn.ReLU())

    def hidden(below, classes=1000):
        return [nn.Flatten(), nn.Linear(below, 4096), nn.ReLU(), nn.Linear(4096, 4096), nn.ReLU(), nn.Linear(4096, classes)]

    class Fire(nn.Module):
        def __init__(self, below, squeeze, expand):
            super().__init__()
            self.squeeze = conv(below, squeeze, 1)
            self.small, self.large = conv(squeeze, expand, 1), conv(squeeze, expand, 3, 1, 1)

        def forward(self, x):
            x = self.squeeze(x)
            return torch.cat([self.small(x), self.large(x)], 1)

    class Block(nn.Module):
        def __init__(self, below, maps, stride):
            super().__init__()
            same = below == 4 * maps and stride == 1
            self.way = nn.Sequential(conv(below, maps, 1), conv(maps, maps, 3, stride, 1), nn.Conv2d(maps, 4 * maps, 1))
            self.skip = nn.Identity() if same else nn.Conv2d(below, 4 * maps, 1, stride)

        def forward(self, x):
            return torch.relu(self.way(x) + self.skip(x))

    pool = lambda: nn.MaxPool2d(3, 2, ceil_mode=True)
    blocks, below = [], 64
    for maps, count, stride in [(64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)]:
        for k in range(count):
            blocks.append(Block(below, maps, stride if k == 0 else 1))
            below = 4 * maps
    vgg, below = [], 3
    for maps, count in [(64, 2), (128, 2), (256, 3), (512, 3), (512, 3)]:
        for _ in range(count):
            vgg.append(conv(below, maps, 3, 1, 1))
            below = maps
        vgg.append(nn.MaxPool2d(2, 2))
    mean = [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    nets = {
        "alexnet": [conv(3, 64, 11, 4, 2), nn.MaxPool2d(3, 2), conv(64, 192, 5, 1, 2), nn.MaxPool2d(3, 2),
                    conv(192, 384, 3, 1, 1), conv(384, 256, 3, 1, 1), conv(256, 256, 3, 1, 1), nn.MaxPool2d(3, 2),
                    *hidden(256 * 6 * 6)],
        "squeezenet11": [conv(3, 64, 3, 2), pool(), Fire(64, 16, 64), Fire(128, 16, 64), pool(), Fire(128, 32, 128),
                         Fire(256, 32, 128), pool(), Fire(256, 48, 192), Fire(384, 48, 192), Fire(384, 64, 256),
                         Fire(512, 64, 256), conv(512, 1000, 1), *mean],
        "resnet50": [conv(3, 64, 7, 2, 3), nn.MaxPool2d(3, 2, 1), *blocks, *mean, nn.Linear(2048, 1000)],
        "vgg16": [*vgg, *hidden(512 * 7 * 7)],
    }
    for name, layers in nets.items():
        path = str(pathlib.Path(folder) / f"{name}.onnx")
        torch.onnx.export(nn.Sequential(*layers).eval(), torch.zeros(1, 3, side, side), path, dynamo=False)
        yield path


def ours(args, path):
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    found = sorted((target / "release/deps").glob("convnets-*"), key=lambda p: p.stat().st_mtime)
    program = [p for p in found if p.suffix == "" and os.access(p, os.X_OK)]
    if not program:
        sys.exit("build it first: cargo build --release --bench convnets")
    command = [program[-1], path, "--side", args.side, "--batch", args.batch, "--seconds", args.seconds]
    command += ["--processor"] if args.processor else []
    out = subprocess.run(
        [str(part) for part in command],
        env=dict(os.environ, RAYON_NUM_THREADS=str(args.threads)),
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    row = re.findall(r"[\d.]+", out.strip().splitlines()[-1].split("flex")[-1])
    return [float(number) for number in row]


def timed(run, args):
    run()
    began, before, times = time.perf_counter(), time.process_time(), []
    while len(times) < 3 or time.perf_counter() - began < args.seconds:
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return 1e3 * ((time.process_time() - before) / len(times) if args.processor else statistics.median(times))


def runtime(args, path, images):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = args.threads
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    frozen = session.get_inputs()[0].shape[0] == 1
    parts = [images[i : i + 1] for i in range(len(images))] if frozen else [images]
    return timed(lambda: [session.run(None, {name: part}) for part in parts], args)


def in_torch(args, path, images):
    """Forward, a unit of the last map with rows and columns back, and a place of the square."""
    import numpy as np
    import onnx
    import torch
    from onnx import numpy_helper

    torch.set_num_threads(args.threads)
    graph = onnx.load(path).graph
    known = {t.name: torch.from_numpy(numpy_helper.to_array(t).copy()) for t in graph.initializer}
    given = [i.name for i in graph.input if i.name not in known][0]

    class Rectifier(torch.autograd.Function):
        @staticmethod
        def forward(_, x):
            return x.clamp_min(0)

        @staticmethod
        def backward(_, r):
            return r.clamp_min(0)

    def forward(x):
        values, last = dict(known, **{given: x}), x
        for node in graph.node:
            at = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
            v = [values[name] if name else None for name in node.input]
            pads = at.get("pads", [0, 0, 0, 0])
            if node.op_type == "Conv":
                if pads[:2] != pads[2:]:
                    v[0], pads = torch.nn.functional.pad(v[0], (pads[1], pads[3], pads[0], pads[2])), [0, 0]
                y = torch.nn.functional.conv2d(
                    v[0], v[1], v[2] if len(v) > 2 else None, at.get("strides", 1), pads[:2],
                    at.get("dilations", 1), at.get("group", 1),
                )
            elif node.op_type == "Relu":
                y = Rectifier.apply(v[0])
            elif node.op_type == "MaxPool":
                ceil = bool(at.get("ceil_mode", 0)) or pads[:2] != pads[2:]
                y = torch.nn.functional.max_pool2d(
                    v[0], at["kernel_shape"], at.get("strides"), pads[:2], 1, ceil
                )
            elif node.op_type == "GlobalAveragePool":
                y = v[0].mean((2, 3), keepdim=True)
            elif node.op_type == "AveragePool":
                y = torch.nn.functional.avg_pool2d(v[0], at["kernel_shape"], at.get("strides"), pads[:2])
            elif node.op_type == "BatchNormalization":
                y = torch.nn.functional.batch_norm(v[0], v[3], v[4], v[1], v[2], False, 0, at.get("epsilon", 1e-5))
            elif node.op_type == "Concat":
                y = torch.cat(v, at["axis"])
            elif node.op_type in ("Add", "Sum"):
                y = v[0] + v[1]
            elif node.op_type == "Flatten":
                y = v[0].flatten(1)
            elif node.op_type == "Reshape":
                y = v[0].reshape(len(v[0]), -1)
            elif node.op_type == "Gemm":
                y = torch.nn.functional.linear(v[0], v[1] if at.get("transB") else v[1].T, v[2])
            elif node.op_type == "Softmax":
                y = v[0].softmax(1)
            elif node.op_type in ("Dropout", "Identity"):
                y = v[0]
            elif node.op_type == "Constant":
                y = torch.from_numpy(numpy_helper.to_array(at["value"]).copy())
            else:
                sys.exit(f"{path}: {node.op_type} is not in this script")
            values[node.output[0]] = y
            if y.dim() == 4 and y.shape[2] * y.shape[3] > 1:
                last = y
        return last, y

    x = torch.from_numpy(images)

    def plain():
        with torch.no_grad():
            forward(x)

    there = timed(plain, args)
    one = x[:1].clone().requires_grad_()
    last, _ = forward(one)

    def back():
        flat = last[0].flatten()
        for k in range(8):
            torch.autograd.grad(flat[(k * 7919) % flat.numel()], one, retain_graph=True)

    from captum.attr import Occlusion

    occlusion = Occlusion(lambda x: forward(x)[1].flatten(1))
    places = len(range(0, x.shape[2] - 63, 32)) * len(range(0, x.shape[3] - 63, 32))

    def covered():
        with torch.no_grad():
            occlusion.attribute(x[:1], (3, 64, 64), (3, 32, 32), target=0, perturbations_per_eval=16)

    return there, timed(back, args) / 8, timed(covered, args) / places


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*")
    parser.add_argument("--side", type=int, default=224)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--processor", action="store_true", help="processor time, for a machine that is shared")
    args = parser.parse_args()
    with_packages()
    import numpy as np
    import onnx

    print("| model | forward, ms | ONNX Runtime | PyTorch | back, ms a unit | PyTorch | covered, ms a place | captum |")
    print("|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for path in args.models or known_shapes(folder, args.side):
            model = onnx.load(path, load_external_data=False)
            shape = [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim]
            side = shape[2] or args.side
            images = np.random.default_rng(0).standard_normal((args.batch, shape[1] or 3, side, side)).astype("f4")
            mine = ours(args, path)
            ort = runtime(args, path, images) / args.batch
            there, back, covered = in_torch(args, path, images)
            beside = [(mine[0], [ort, there / args.batch]), (mine[1], [back]), (mine[2], [covered])]
            cells = [pathlib.Path(path).stem]
            for own, others in beside:
                cells += [f"{own:.1f}", *(f"{other:.1f}, {other / own:.2f} times" for other in others)]
            print("|", " | ".join(cells), "|", flush=True)


if __name__ == "__main__":
    main()
