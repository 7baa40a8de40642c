"""Coding one image by this program and by dicodile, the distributed coordinate descent of this field, side by side.

    pip install dicodile numpy                 (and an MPI: libopenmpi-dev openmpi-bin)
    python scripts/rivals.py make IMAGE --size 512 --boundary zero --dictionary G:8x8x32 --lmbda 0.1 --out PROBLEM.npz
    python scripts/rivals_dicodile.py PROBLEM.npz ... --workers 1 2

Both have the geometry of dicodile: no filter sticks out of the image, maps are [H - h + 1, W - w + 1]. dicodile codes
with its default strategy (locally greedy, soft locks at borders) until no update is larger than --tol; its compilation
is done beforehand on a corner of the image. The objective that it ends with, worked out here in double precision, is
the target of `deconvnet infer --problem` with as many threads as dicodile has processes. Seconds are those of coding
alone: of dicodile the wall time of the call, less that of starting the processes; of ours what the report tells.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMPI_ALLOW_RUN_AS_ROOT", "1")
os.environ.setdefault("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1")
os.environ.setdefault("OMPI_MCA_rmaps_base_oversubscribe", "1")

import numpy as np
from dicodile.update_z import dicod as module
from dicodile.update_z.dicod import dicod


def objective(x, d, z, lmbda):
    size = x.shape[-2:]
    spectra = [np.fft.rfft2(a.astype(float), size) for a in (d, z)]
    error = np.fft.irfft2(np.einsum("mcuv,muv->cuv", *spectra), size) - x
    return 0.5 * np.sum(error**2) + lmbda * np.abs(z).sum()


def theirs(x, d, lmbda, workers, tol):
    starting = 0.0
    spawn = module._spawn_workers

    def timed(*arguments):
        nonlocal starting
        began = time.perf_counter()
        workers = spawn(*arguments)
        starting += time.perf_counter() - began
        return workers

    module._spawn_workers = timed
    began = time.perf_counter()
    z, *_ = dicod(x, d, lmbda, n_workers=workers, tol=tol, max_iter=10**9, strategy="lgcd")
    seconds = time.perf_counter() - began - starting
    module._spawn_workers = spawn
    return objective(x, d, z, lmbda), seconds


def ours(command, problem, threads, target):
    line = [command, "infer", "--problem", problem, "--target", repr(float(target)), "--steps", "100000", "--json"]
    environment = os.environ | {"RAYON_NUM_THREADS": str(threads)}
    report = json.loads(subprocess.run(line, check=True, capture_output=True, env=environment).stdout)
    found = report["found"]["objective"]
    assert found <= target * (1 + 1e-9), (found, target)
    return found, report["seconds"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("problem", nargs="+", type=pathlib.Path)
    parser.add_argument("--workers", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--tol", type=float, default=1e-2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--deconvnet", default="target/release/deconvnet")
    options = parser.parse_args()
    print("| problem | processes, threads | objective | dicodile, s | deconvnet, s | ratio |\n" + "|---" * 6 + "|")
    for path in options.problem:
        file = np.load(path)
        assert str(file["boundary"]) == "zero", f"{path} has another boundary than dicodile"
        x, d, lmbda = file["s"][0].astype(float), file["D0"].astype(float), float(file["lmbda"])
        for workers in options.workers:
            corner = x[:, : 8 * d.shape[2], : 8 * d.shape[3]]
            theirs(corner, d, lmbda, workers, 1.0)
            rows = []
            for _ in range(options.repeats):
                target, slow = theirs(x, d, lmbda, workers, options.tol)
                found, fast = ours(options.deconvnet, path, workers, target)
                rows.append((slow / fast, slow, fast, target))
            ratio, slow, fast, target = (statistics.median(column) for column in zip(*rows))
            print(f"| {path.stem} | {workers} | {target:.4f} | {slow:.2f} | {fast:.3f} | {ratio:.1f} |", flush=True)


if __name__ == "__main__":
    main()
