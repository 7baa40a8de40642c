#!/usr/bin/env python3
"""Denoising and inpainting beside other tools, in one run.

    python scripts/restoration.py --data FOLDER [--only denoise|inpaint] [--out results/restoration]
        [--sigmas 15,25,50] [--rivals-every 1] [--sets Set12,BSD68]

FOLDER holds Set12/ and BSD68/ with grey PNG files. The first run makes an environment in .restoration-env with bm3d,
scikit-image and sporco. Noise is drawn by numpy with the number of the image as seed, is neither clipped nor rounded,
and goes to every tool as it is. Every tool has one thread. PSNR is that of the results clipped to 0..255. With --rivals-every N the rivals get every N-th image, and means over
those images are given for all. Writes table.md, pictures, and results.json as it goes on.
"""
import argparse
import json
import os
import pathlib
import subprocess
import sys
import time
import venv

ROOT = pathlib.Path(__file__).resolve().parent.parent
ENV = ROOT / ".restoration-env"
PACKAGES = ["bm3d", "scikit-image", "sporco", "pillow"]
ONE_THREAD = ["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS",
              "NUMEXPR_NUM_THREADS"]

if pathlib.Path(sys.prefix) != ENV and not os.environ.get("RESTORATION_HERE"):
    python = ENV / "bin" / "python"
    if not python.exists():
        venv.create(ENV, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "-q", *PACKAGES], check=True)
    environment = {**os.environ, "RESTORATION_HERE": "1", **{name: "1" for name in ONE_THREAD}}
    raise SystemExit(subprocess.run([python, *sys.argv], env=environment).returncode)

import numpy as np
from PIL import Image, ImageDraw, ImageFont

COMMAND = pathlib.Path(os.environ.get("DECONVNET", ROOT / "target" / "release" / "deconvnet"))


def read(path):
    return np.asarray(Image.open(path).convert("L"), float)


def psnr(x, y):
    return 10 * np.log10(255**2 / np.mean((x - np.clip(y, 0, 255)) ** 2))


def timed(tool, *arguments):
    start = time.perf_counter()
    result = tool(*arguments)
    return result, time.perf_counter() - start


def command(kind, given, out, *more):
    """Runs the command; the seconds without reading and writing."""
    line = [COMMAND, kind, given, "--out", out, "--overwrite", "--json", *map(str, more)]
    report = json.loads(subprocess.run(line, check=True, capture_output=True).stdout)
    return report["rows"][0]["seconds"]


# --- denoising ------------------------------------------------------------------------------------------

def ours(work, y, sigma, *more):
    np.savez(work / "y.npz", y=(y / 255).astype(np.float32))
    seconds = command("denoise", work / "y.npz", work / "x.npz", "--sigma", sigma, *more)
    return 255 * np.load(work / "x.npz")["x"].squeeze(), seconds


def denoisers(work):
    import bm3d
    from skimage.restoration import denoise_nl_means, denoise_tv_chambolle
    from sporco import util
    from sporco.admm import cbpdn
    from sporco.signal import tikhonov_filter
    filters = util.convdicts()["G:8x8x64"]

    def sporco(y, sigma):
        """The recipe of its examples: an impulse filter and gradient terms for low frequencies."""
        low, high = tikhonov_filter(np.pad(y / 255, 16, "symmetric"), 5.0)
        options = cbpdn.ConvBPDN.Options({"Verbose": False, "MaxMainIter": 60, "RelStopTol": 5e-3,
                                          "AutoRho": {"Enabled": True}})
        solver = cbpdn.ConvBPDN(filters, high, 2.0 * sigma / 255, options, dimK=0)
        x = solver.solve()
        return ((low + solver.reconstruct(x).squeeze())[16:-16, 16:-16]) * 255

    return {
        "deconvnet": lambda y, s: ours(work, y, s),
        "deconvnet --adapt": lambda y, s: ours(work, y, s, "--adapt"),
        "BM3D": lambda y, s: timed(bm3d.bm3d, y, s),
        "non-local means": lambda y, s: timed(lambda: 255 * denoise_nl_means(
            y / 255, patch_size=5, patch_distance=10, h=0.6 * s / 255, sigma=s / 255, fast_mode=False)),
        "total variation": lambda y, s: timed(lambda: 255 * denoise_tv_chambolle(
            y / 255, weight={15: 0.06, 25: 0.1}.get(s, 0.22), max_num_iter=200)),
        "SPORCO ConvBPDN": lambda y, s: timed(sporco, y, s),
    }


def denoising(args, results, work):
    tools = denoisers(work)
    for name in args.sets.split(","):
        files = sorted((args.data / name).glob("*.png"))
        for sigma in map(int, args.sigmas.split(",")):
            for k, path in enumerate(files):
                x = read(path)
                y = x + sigma * np.random.default_rng(k).standard_normal(x.shape)
                for tool, run in tools.items():
                    rival = not tool.startswith("deconvnet") or tool.endswith("--adapt")
                    key = f"denoise|{name}|{sigma}|{path.name}|{tool}"
                    if key in results or (rival and k % args.rivals_every) or tool in args.skip:
                        continue
                    estimate, seconds = run(y, sigma)
                    results[key] = [psnr(x, estimate), seconds]
                    keep(args, results)
                    if k == args.shown and name == "Set12" and sigma == 25:
                        save(args.out / "parts" / f"{tool.replace(' ', '_')}.png", estimate)
                if k == args.shown and name == "Set12" and sigma == 25:
                    save(args.out / "parts" / "noisy.png", y)
                    save(args.out / "parts" / "clean.png", x)


# --- inpainting -----------------------------------------------------------------------------------------

def masks(shape):
    """What is known: 1; what is missing: 0."""
    random = np.random.default_rng(11).random(shape)
    height, width = shape
    scratches = Image.new("L", (width, height), 255)
    draw = ImageDraw.Draw(scratches)
    rng = np.random.default_rng(12)
    for _ in range(14):
        points = [tuple(rng.random(2) * (width, height)) for _ in range(3)]
        draw.line(points, fill=0, width=int(rng.integers(2, 6)), joint="curve")
    text = Image.new("L", (width, height), 255)
    draw = ImageDraw.Draw(text)
    font = ImageFont.load_default(size=16)
    line = "convolutional sparse codes fill in what is missing "
    for k, top in enumerate(range(4, height, 24)):
        draw.text((4 - 37 * k % 90, top), line * 3, fill=0, font=font)
    return {"random 50 %": random >= 0.5, "random 80 %": random >= 0.8,
            "scratches": np.asarray(scratches) > 127, "text": np.asarray(text) > 127}


def inpainters(work):
    from skimage.restoration import inpaint_biharmonic
    from sporco import util
    from sporco.admm import cbpdn, tvl2
    filters = util.convdicts()["G:8x8x64"]

    def deconvnet(x, known):
        Image.fromarray(np.where(known, 255, 0).astype(np.uint8)).save(work / "mask.png")
        Image.fromarray(np.where(known, x, 0).astype(np.uint8)).save(work / "given.png")
        seconds = command("inpaint", work / "given.png", work / "out.png", "--mask", work / "mask.png")
        return read(work / "out.png"), seconds

    def add_mask_sim(x, known):
        """The recipe of its examples: a low-pass by masked total variation, then masked codes of the rest."""
        mask, y = known.astype(float), np.where(known, x, 0) / 255
        options = tvl2.TVL2Denoise.Options({"Verbose": False, "MaxMainIter": 200, "DFidWeight": mask,
                                            "gEvalY": False, "AutoRho": {"Enabled": True}})
        low = tvl2.TVL2Denoise(y, 0.05, options).solve()
        high = mask * (y - low)
        options = cbpdn.ConvBPDN.Options({"Verbose": False, "MaxMainIter": 60, "RelStopTol": 1e-3,
                                          "AutoRho": {"Enabled": False}, "rho": 1.0})
        solver = cbpdn.AddMaskSim(cbpdn.ConvBPDN, filters, high, mask, 2e-2, opt=options)
        solver.solve()
        return 255 * (low + solver.reconstruct().squeeze())

    return {
        "deconvnet": deconvnet,
        "biharmonic": lambda x, known: timed(lambda: 255 * inpaint_biharmonic(np.where(known, x, 0) / 255, ~known)),
        "SPORCO AddMaskSim": lambda x, known: timed(add_mask_sim, x, known),
    }


def inpainting(args, results, work):
    tools = inpainters(work)
    for number, title in [("02", "house"), ("04", "starfish")]:
        x = read(args.data / "Set12" / f"{number}.png")
        for mask, known in masks(x.shape).items():
            for tool, run in tools.items():
                key = f"inpaint|{title}|{mask}|{tool}"
                if key in results or tool in args.skip:
                    continue
                estimate, seconds = run(x, known)
                estimate = np.where(known, x, estimate)
                results[key] = [psnr(x, estimate), seconds]
                keep(args, results)
                if title == "house":
                    save(args.out / "parts" / f"{mask}-{tool}.png", estimate)
            if title == "house":
                save(args.out / "parts" / f"{mask}-given.png", np.where(known, x, 0))


# --- tables and pictures --------------------------------------------------------------------------------

def save(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.clip(np.round(image), 0, 255).astype(np.uint8)).save(path)


def keep(args, results):
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "results.json").write_text(json.dumps(results, indent=1))
    key, (decibel, seconds) = list(results.items())[-1]
    print(f"{key}: {decibel:.2f} dB, {seconds:.2f} s", flush=True)


def table(args, results):
    lines = []
    keys = [key.split("|") for key in results]
    groups = list(dict.fromkeys(tuple(key[1:3]) for key in keys if key[0] == "denoise"))
    if groups:
        lines += ["| | sigma | tool | images | PSNR, dB | the same images, deconvnet | s an image | times as long |",
                  "|---|---|---|---|---|---|---|---|"]
    for name, sigma in groups:
        rows = [key for key in keys if key[1:3] == [name, sigma]]
        found = {(key[3], key[4]): results["|".join(key)] for key in rows}
        for tool in dict.fromkeys(key[4] for key in rows):
            images = [image for image, other in found if other == tool]
            mean = lambda of, part: np.mean([found[image, of][part] for image in images])
            own = [mean("deconvnet", part) for part in (0, 1)]
            lines.append(f"| {name} | {sigma} | {tool} | {len(images)} | {mean(tool, 0):.2f} | {own[0]:.2f} "
                         f"| {mean(tool, 1):.2f} | {mean(tool, 1) / own[1]:.1f} |")
    rows = [key for key in keys if key[0] == "inpaint"]
    if rows:
        lines += ["", "| image | mask | tool | PSNR, dB | s | times as long |", "|---|---|---|---|---|---|"]
    for key in rows:
        decibel, seconds = results["|".join(key)]
        own = results.get("|".join([*key[:3], "deconvnet"]), [0, np.nan])[1]
        lines.append(f"| {key[1]} | {key[2]} | {key[3]} | {decibel:.2f} | {seconds:.2f} | {seconds / own:.1f} |")
    (args.out / "table.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


def sheet(args, out, rows):
    """Parts side by side with captions."""
    side, bar = 256, 22
    rows = [[(title, args.out / "parts" / name) for title, name in row] for row in rows]
    rows = [[(title, path) for title, path in row if path.exists()] for row in rows]
    rows = [row for row in rows if row]
    if not rows:
        return
    sheet = Image.new("L", (max(map(len, rows)) * (side + 6) - 6, len(rows) * (side + bar)), 255)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=15)
    for i, row in enumerate(rows):
        for j, (title, path) in enumerate(row):
            sheet.paste(Image.open(path).crop((0, 0, side, side)), (j * (side + 6), i * (side + bar) + bar))
            draw.text((j * (side + 6) + 2, i * (side + bar) + 2), title, fill=0, font=font)
    sheet.save(args.out / out, quality=88)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("results/restoration"))
    parser.add_argument("--only", choices=["denoise", "inpaint"])
    parser.add_argument("--sets", default="Set12,BSD68")
    parser.add_argument("--sigmas", default="15,25,50")
    parser.add_argument("--rivals-every", type=int, default=1)
    parser.add_argument("--skip", default="", type=lambda text: set(filter(None, text.split(","))))
    parser.add_argument("--shown", type=int, default=0, help="the image of Set12 that is shown, from 0")
    args = parser.parse_args()
    work = args.out / "work"
    work.mkdir(parents=True, exist_ok=True)
    done = args.out / "results.json"
    results = json.loads(done.read_text()) if done.exists() else {}
    if args.only != "inpaint":
        denoising(args, results, work)
    if args.only != "denoise":
        inpainting(args, results, work)
    table(args, results)
    sheet(args, "denoise.jpg", [[(name, f"{name}.png") for name in ("noisy", "deconvnet", "BM3D", "clean")]])
    sheet(args, "inpaint.jpg", [[(f"{mask}, {tool}", f"{mask}-{tool}.png")
                                 for tool in ("given", "deconvnet", "biharmonic", "SPORCO AddMaskSim")]
                                for mask in ("random 80 %", "text")])


if __name__ == "__main__":
    main()
