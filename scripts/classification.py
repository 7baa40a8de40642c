#!/usr/bin/env python3
"""Caltech-101: features of several kinds under the same pyramid and machines, in one table.

    tar xf caltech101_150.tar
    python3 scripts/classification.py caltech101_150 --out classification --squeezenet squeezenet10.onnx

needs `target/release/deconvnet` (or --deconvnet PATH) and nothing but Python. 30 training images of each of the 102
folders, BACKGROUND_Google among them, up to 30 others to measure by, the mean of the accuracies of the classes, mean and
deviation over seeded splits. Filters of 2010 are learnt from training images that all splits share, or those of --run;
--adaptive takes a run of the adaptive form. What is done already by the same arguments is not done again.
"""

import argparse
import json
import pathlib
import re
import shutil
import subprocess
import time

HARD, SOFT = ["--recipe", "2010"], ["--recipe", "soft"]
LAYERS = {"1": "layer 1", "1,2": "layers 1 and 2"}


def rows(options):
    """Name, folder of descriptors, arguments of maps, and the recipes."""
    both = [("200 words", HARD), ("1024 soft words", SOFT)]
    learnt = ["--rounds", options.rounds] + (["--run", options.run] if options.run else [])
    for layers, words in LAYERS.items():
        yield f"2010, {words}", f"learnt-{layers}", ["--layers", layers, *learnt], both
    random = ["--maps", "random", "--rounds", options.rounds]
    yield "random filters, layer 1", "random", ["--layers", "1", *random], both
    yield "dense SIFT", "sift", ["--maps", "gradients"], both
    if options.adaptive:
        adaptive = ["--run", options.adaptive, "--rounds", options.rounds]
        yield "adaptive, layer 1", "adaptive-1", ["--layers", "1", *adaptive], both
        strongest = [*adaptive, "--projections", options.projections]
        soft = ["--coding", "soft", "--words", "1024", "--gather", "largest", "--kernel", "linear"]
        words = [("200 words", ["--recipe", "2011"]), ("1024 soft words", ["--recipe", "2011", *soft])]
        yield "2011: layer 1 and projections", "adaptive-2011", strongest, words
    if options.squeezenet:
        for layer in options.squeezenet_layers:
            maps = ["--convnet", options.squeezenet, "--preset", "caffe", "--layers", layer]
            yield f"SqueezeNet, {layer}", f"squeezenet-{layer}", maps, [("no words, the largest", ["--recipe", "plain"])]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--out", default="classification")
    parser.add_argument("--deconvnet", default="target/release/deconvnet")
    parser.add_argument("--squeezenet")
    parser.add_argument("--squeezenet-layers", nargs="*", default=["fire5", "fire9"])
    parser.add_argument("--run", help="filters of this run instead of learnt ones")
    parser.add_argument("--adaptive", help="a run of the adaptive form")
    parser.add_argument("--projections", default="50", help="activations of its top layer that are projected")
    parser.add_argument("--rounds", default="5", help="of the solver, for each layer")
    parser.add_argument("--splits", type=int, default=5)
    parser.add_argument("--only", default="", help="rows whose names match this pattern")
    options = parser.parse_args()
    out = pathlib.Path(options.out)
    out.mkdir(parents=True, exist_ok=True)
    for name, folder, maps, recipes in rows(options):
        if not re.search(options.only, name):
            continue
        work = out / folder
        for recipe, arguments in recipes:
            record = out / f"{folder}-{recipe.replace(' ', '-').replace(',', '')}.json"
            line = [options.deconvnet, "classify", options.folder, *maps, *arguments, "--splits", str(options.splits)]
            line += ["--out", str(work), "--overwrite", "--keep", "--json"]
            if record.exists() and json.loads(record.read_text())["line"] == line:
                continue
            began = time.time()
            done = json.loads(subprocess.run(line, check=True, stdout=subprocess.PIPE).stdout)
            done["name"], done["words"], done["line"], done["wall"] = name, recipe, line, time.time() - began
            record.write_text(json.dumps(done))
            shutil.copy(work / "confusion.png", record.with_suffix(".png"))
            print(name, recipe, f"{100 * done['mean']:.1f}", f"{done['wall']:.0f} s", flush=True)
        (work / "descriptors").unlink(missing_ok=True)
    table(out, options)


def table(out, options):
    lines = ["| maps | codes | features | accuracy, % | splits | maps, s | words, s | features, s | machines, s |"]
    lines.append("|---" * 10 + "|")
    order = {folder: k for k, (_, folder, _, _) in enumerate(rows(options))}
    records = [json.loads(path.read_text()) for path in sorted(out.glob("*.json"))]
    for one in sorted(records, key=lambda one: (order.get(pathlib.Path(one["out"]).name, 99), one["words"])):
        deviation = f" ± {100 * one['deviation']:.1f}" if one["deviation"] is not None else ""
        seconds = [f"{one['seconds'][part]:.0f}" for part in ("maps", "words", "features", "learning")]
        cells = [one["name"], one["words"], one["dimension"], f"{100 * one['mean']:.1f}{deviation}", len(one["each"]), *seconds]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    text = "\n".join(lines) + "\n"
    (out / "table.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
