#!/usr/bin/env python3
"""Convnets forward and back, beside ONNX Runtime and PyTorch, in one run.

    pip install numpy onnx onnxruntime torch                     (torch, if wanted)
    cargo build --release --bench convnets
    python scripts/rivals_convnets.py MODEL.onnx ... --side 224 --threads 2

Milliseconds an image forward (ONNX Runtime, PyTorch), and a unit of the last map with rows and columns back to the
pixels under the rule of deconvnets (PyTorch by its autograd, rectifiers as the rule has them, which is what captum
does with a hook for each; units of one image go back one after the other there, as captum's do). The graph is run
in PyTorch node by node from the same file. Each figure is the median of several runs, the contenders in turn.
"""

import argparse
import os
import pathlib
import re
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent


def ours(args, path):
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    found = sorted((target / "release/deps").glob("convnets-*"), key=lambda p: p.stat().st_mtime)
    program = [p for p in found if p.suffix == "" and os.access(p, os.X_OK)]
    if not program:
        sys.exit("build it first: cargo build --release --bench convnets")
    command = [program[-1], path, "--side", args.side, "--batch", args.batch, "--seconds", args.seconds]
    out = subprocess.run(
        [str(part) for part in command],
        env=dict(os.environ, RAYON_NUM_THREADS=str(args.threads)),
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    row = re.findall(r"[\d.]+", out.strip().splitlines()[-1].split("flex")[-1])
    return float(row[0]), float(row[1])


def median(run, seconds):
    run()
    began, times = time.perf_counter(), []
    while len(times) < 3 or time.perf_counter() - began < seconds:
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return 1e3 * statistics.median(times)


def runtime(args, path, images):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = args.threads
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    frozen = session.get_inputs()[0].shape[0] == 1
    parts = [images[i : i + 1] for i in range(len(images))] if frozen else [images]
    return median(lambda: [session.run(None, {name: part}) for part in parts], args.seconds)


def in_torch(args, path, images):
    """A function of the images that gives the last map with rows and columns, and one that takes a unit back."""
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
        return last

    x = torch.from_numpy(images)

    def plain():
        with torch.no_grad():
            forward(x)

    there = median(plain, args.seconds)
    one = x[:1].clone().requires_grad_()
    last = forward(one)

    def back():
        flat = last[0].flatten()
        for k in range(8):
            torch.autograd.grad(flat[(k * 7919) % flat.numel()], one, retain_graph=True)

    return there, median(back, args.seconds) / 8


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+")
    parser.add_argument("--side", type=int, default=224)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--seconds", type=float, default=3.0)
    args = parser.parse_args()
    import numpy as np
    import onnx

    print("| model | forward, ms | ONNX Runtime | PyTorch | back, ms a unit | PyTorch |")
    print("|---|---|---|---|---|---|")
    for path in args.models:
        shape = [d.dim_value for d in onnx.load(path, load_external_data=False).graph.input[0].type.tensor_type.shape.dim]
        side = shape[2] or args.side
        images = np.random.default_rng(0).standard_normal((args.batch, shape[1] or 3, side, side)).astype("f4")
        there, back = ours(args, path)
        ort = runtime(args, path, images) / args.batch
        try:
            torch_there, torch_back = in_torch(args, path, images)
            torch_there = f"{torch_there / args.batch:.1f}, {torch_there / args.batch / there:.2f} times"
            torch_back = f"{torch_back:.1f}, {torch_back / back:.2f} times"
        except ImportError:
            torch_there = torch_back = "not installed"
        name = pathlib.Path(path).stem
        print(f"| {name} | {there:.1f} | {ort:.1f}, {ort / there:.2f} times | {torch_there} | {back:.1f} | {torch_back} |", flush=True)


if __name__ == "__main__":
    main()
