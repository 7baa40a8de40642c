"""Runs small ONNX models, one for each operator and its attributes, through deconvnet and ONNX Runtime.

    cargo build --release
    python3 -m venv /tmp/onnx && /tmp/onnx/bin/pip install numpy onnx onnxruntime
    /tmp/onnx/bin/python scripts/onnx_operators.py target/release/deconvnet

Prints what differs by more than 2e-6 relative to the largest output, and how many models agree.
"""

import os
import subprocess
import sys
import tempfile

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto as T
from onnx import helper as h
from onnx import numpy_helper as nh

ort.set_default_logger_severity(4)
PROGRAM = sys.argv[1] if len(sys.argv) > 1 else "target/release/deconvnet"
FOLDER = tempfile.mkdtemp()
rng = np.random.default_rng(0)


def model(nodes, inits, shape, opset=17, out="y"):
    g = h.make_graph(
        nodes,
        "g",
        [h.make_tensor_value_info("x", T.FLOAT, shape)],
        [h.make_tensor_value_info(out, T.FLOAT, None)],
        [nh.from_array(v, k) for k, v in inits.items()],
    )
    m = h.make_model(g, opset_imports=[h.make_opsetid("", opset)])
    m.ir_version = 8
    return m


def f(*s):
    return rng.standard_normal(s).astype("f4")


def i(*v):
    return np.array(v, dtype="i8")


N = h.make_node
X4 = [1, 4, 9, 11]
tests = []


def t(name, nodes, inits, shape=X4, opset=17):
    tests.append((name, nodes, inits, shape, opset))


t(
    "conv",
    [N("Conv", ["x", "w", "b"], ["y"], strides=[2, 1], pads=[1, 0, 2, 1], dilations=[1, 2])],
    dict(w=f(6, 4, 3, 3), b=f(6)),
)
t("convg", [N("Conv", ["x", "w"], ["y"], group=2, strides=[3, 3])], dict(w=f(6, 2, 2, 3)))
t("convdw", [N("Conv", ["x", "w"], ["y"], group=4, pads=[1, 1, 1, 1])], dict(w=f(8, 1, 3, 3)))
t("convsame", [N("Conv", ["x", "w"], ["y"], auto_pad="SAME_UPPER", strides=[2, 2])], dict(w=f(5, 4, 4, 4)))
t("convsamel", [N("Conv", ["x", "w"], ["y"], auto_pad="SAME_LOWER", strides=[2, 2])], dict(w=f(5, 4, 4, 4)))
t(
    "conv1d",
    [N("Conv", ["x", "w", "b"], ["y"], strides=[2], pads=[2, 1])],
    dict(w=f(5, 4, 3), b=f(5)),
    [1, 4, 13],
)
t(
    "convt",
    [
        N(
            "ConvTranspose",
            ["x", "w", "b"],
            ["y"],
            strides=[2, 3],
            pads=[1, 0, 0, 2],
            output_padding=[1, 2],
            group=2,
        )
    ],
    dict(w=f(4, 3, 3, 4), b=f(6)),
)
t(
    "convt2",
    [N("ConvTranspose", ["x", "w"], ["y"], strides=[2, 2], auto_pad="SAME_UPPER")],
    dict(w=f(4, 3, 3, 3)),
)
t(
    "convt3",
    [N("ConvTranspose", ["x", "w"], ["y"], strides=[2, 2], output_shape=[20, 21])],
    dict(w=f(4, 3, 3, 3)),
)
t(
    "bn",
    [N("BatchNormalization", ["x", "a", "b", "m", "v"], ["y"], epsilon=1e-3)],
    dict(a=f(4), b=f(4), m=f(4), v=abs(f(4))),
)
for op in [
    "Relu",
    "Sigmoid",
    "Tanh",
    "HardSwish",
    "Elu",
    "HardSigmoid",
    "Softplus",
    "Exp",
    "Abs",
    "Neg",
    "Erf",
    "Selu",
    "LeakyRelu",
    "GlobalAveragePool",
    "GlobalMaxPool",
    "Identity",
    "Softmax",
    "LogSoftmax",
    "Flatten",
    "Reciprocal",
    "Mish",
]:
    t(op, [N(op, ["x"], ["y"])], {}, opset=18)
t("gelu", [N("Gelu", ["x"], ["y"])], {}, opset=20)
t("gelut", [N("Gelu", ["x"], ["y"], approximate="tanh")], {}, opset=20)
t("sqrt", [N("Abs", ["x"], ["a"]), N("Sqrt", ["a"], ["y"])], {})
t("log", [N("Abs", ["x"], ["a"]), N("Log", ["a"], ["y"])], {})
t("pow", [N("Abs", ["x"], ["a"]), N("Pow", ["a", "p"], ["y"])], dict(p=np.float32(0.75)))
t("pow2", [N("Pow", ["x", "p"], ["y"])], dict(p=np.float32(2)))
t("clip", [N("Clip", ["x", "a", "b"], ["y"])], dict(a=np.float32(0), b=np.float32(0.5)))
t("clip2", [N("Clip", ["x", "a"], ["y"])], dict(a=np.float32(-0.3)))
t("clip6", [N("Clip", ["x"], ["y"], min=0.0, max=0.7)], {}, opset=6)
t("prelu", [N("PRelu", ["x", "s"], ["y"])], dict(s=f(4, 1, 1)))
t("prelu1", [N("PRelu", ["x", "s"], ["y"])], dict(s=f(1)))
t("maxpool", [N("MaxPool", ["x"], ["y"], kernel_shape=[3, 2], strides=[2, 2], pads=[1, 0, 1, 1])], {})
t("maxceil", [N("MaxPool", ["x"], ["y"], kernel_shape=[2, 3], strides=[2, 2], ceil_mode=1)], {})
t(
    "maxceil2",
    [N("MaxPool", ["x"], ["y"], kernel_shape=[3, 3], strides=[2, 3], ceil_mode=1, pads=[1, 1, 1, 1])],
    {},
)
t("maxdil", [N("MaxPool", ["x"], ["y"], kernel_shape=[2, 3], dilations=[2, 2], strides=[1, 2])], {})
t("maxsame", [N("MaxPool", ["x"], ["y"], kernel_shape=[3, 3], strides=[2, 2], auto_pad="SAME_UPPER")], {})
t("max1d", [N("MaxPool", ["x"], ["y"], kernel_shape=[3], strides=[2])], {}, [1, 4, 12])
for c in (0, 1):
    for ip in (0, 1):
        t(
            f"avg{c}{ip}",
            [
                N(
                    "AveragePool",
                    ["x"],
                    ["y"],
                    kernel_shape=[3, 4],
                    strides=[2, 3],
                    pads=[1, 1, 1, 2],
                    ceil_mode=c,
                    count_include_pad=ip,
                )
            ],
            {},
            opset=19,
        )
t("avgsame", [N("AveragePool", ["x"], ["y"], kernel_shape=[3, 3], strides=[2, 2], auto_pad="SAME_LOWER")], {})
t("redmean", [N("ReduceMean", ["x"], ["y"], axes=[2, 3], keepdims=0)], {})
t("redmean18", [N("ReduceMean", ["x", "a"], ["y"], keepdims=1)], dict(a=i(-1, -2)), opset=18)
t("redsum", [N("ReduceSum", ["x", "a"], ["y"], keepdims=0)], dict(a=i(1)))
t(
    "gemm",
    [N("Flatten", ["x"], ["a"]), N("Gemm", ["a", "w", "b"], ["y"], transB=1, alpha=0.5, beta=2.0)],
    dict(w=f(7, 396), b=f(7)),
)
t("gemm2", [N("Flatten", ["x"], ["a"]), N("Gemm", ["a", "w"], ["y"])], dict(w=f(396, 5)))
t("matmul", [N("MatMul", ["x", "w"], ["y"])], dict(w=f(11, 5)))
t("matmull", [N("MatMul", ["w", "x"], ["y"])], dict(w=f(5, 9)))
t("matmul2", [N("Transpose", ["x"], ["a"], perm=[0, 1, 3, 2]), N("MatMul", ["x", "a"], ["y"])], {})
for op in ["Add", "Sub", "Mul", "Div"]:
    t(op + "c", [N(op, ["x", "c"], ["y"])], dict(c=f(4, 1, 1) + 3))
    t(op + "r", [N(op, ["c", "x"], ["y"])], dict(c=f(1, 11)))
    t(op + "s", [N(op, ["x", "c"], ["y"])], dict(c=np.float32(2)))
    t(op + "xx", [N("Sigmoid", ["x"], ["a"]), N(op, ["x", "a"], ["y"])], {})
    t(op + "bc", [N("GlobalAveragePool", ["x"], ["a"]), N(op, ["x", "a"], ["y"])], {})
t("addbig", [N("GlobalAveragePool", ["x"], ["a"]), N("Add", ["a", "c"], ["y"])], dict(c=f(1, 4, 3, 2)))
t("sum3", [N("Relu", ["x"], ["a"]), N("Sigmoid", ["x"], ["b"]), N("Sum", ["x", "a", "b"], ["y"])], {})
t("add6", [N("Add", ["x", "c"], ["y"], broadcast=1, axis=1)], dict(c=f(4)), opset=6)
t("concat", [N("Relu", ["x"], ["a"]), N("Concat", ["x", "a", "c"], ["y"], axis=1)], dict(c=f(1, 2, 9, 11)))
t("concat3", [N("Relu", ["x"], ["a"]), N("Concat", ["x", "a"], ["y"], axis=-1)], {})
t(
    "split",
    [N("Split", ["x", "s"], ["a", "b"], axis=1), N("Concat", ["b", "a"], ["y"], axis=1)],
    dict(s=i(1, 3)),
)
t("split2", [N("Split", ["x"], ["a", "b"], axis=1), N("Sub", ["b", "a"], ["y"])], {})
t(
    "split3",
    [N("Split", ["x"], ["a", "b"], axis=3, num_outputs=2), N("Concat", ["b", "a"], ["y"], axis=3)],
    {},
    opset=18,
)
t(
    "slice",
    [N("Slice", ["x", "s", "e", "a", "st"], ["y"])],
    dict(s=i(1, -1), e=i(9, -100), a=i(2, 3), st=i(2, -3)),
)
t("slice9", [N("Slice", ["x"], ["y"], starts=[1, 2], ends=[3, 1000], axes=[1, 2])], {}, opset=9)
t("gather", [N("Gather", ["x", "k"], ["y"], axis=1)], dict(k=i(3, 0, -2)))
t("gather0", [N("Gather", ["x", "k"], ["y"], axis=2)], dict(k=np.int64(-1)))
t("gather2", [N("Gather", ["x", "k"], ["y"], axis=1)], dict(k=i(3, 0, 1, -2).reshape(2, 2)))
t("reshape", [N("Reshape", ["x", "s"], ["y"])], dict(s=i(0, 2, -1, 11)))
t("reshapef", [N("Reshape", ["x", "s"], ["y"])], dict(s=i(1, -1)))
t("squeeze", [N("GlobalAveragePool", ["x"], ["a"]), N("Squeeze", ["a", "k"], ["y"])], dict(k=i(2, 3)))
t("unsq", [N("Unsqueeze", ["x", "k"], ["a"]), N("Squeeze", ["a", "k"], ["y"])], dict(k=i(1)))
t(
    "unsq11",
    [N("Unsqueeze", ["x"], ["a"], axes=[1, -1]), N("ReduceMean", ["a"], ["y"], axes=[1], keepdims=0)],
    {},
    opset=11,
)
t("transp", [N("Transpose", ["x"], ["y"], perm=[0, 2, 3, 1])], {})
t("pad", [N("Pad", ["x", "p", "v"], ["y"])], dict(p=i(0, 1, 2, -1, 0, 0, -3, 2), v=np.float32(0.3)))
t("padr", [N("Pad", ["x", "p"], ["y"], mode="reflect")], dict(p=i(0, 0, 2, 1, 0, 0, 3, 4)))
t("pade", [N("Pad", ["x", "p"], ["y"], mode="edge")], dict(p=i(0, 0, 2, 1, 0, 0, 3, 4)))
t("pad2", [N("Pad", ["x"], ["y"], pads=[0, 0, 1, 1, 0, 0, 1, 1], value=-1.0)], {}, opset=2)
t("expand", [N("GlobalAveragePool", ["x"], ["a"]), N("Expand", ["a", "s"], ["y"])], dict(s=i(1, 1, 3, 2)))
t("lrn", [N("LRN", ["x"], ["y"], size=3, alpha=0.5, beta=0.7, bias=1.5)], {})
t("lrn4", [N("LRN", ["x"], ["y"], size=4, alpha=0.5, beta=0.7, bias=1.5)], {})
t(
    "layernorm",
    [N("LayerNormalization", ["x", "s", "b"], ["y"], axis=-2, epsilon=0.01)],
    dict(s=f(9, 11), b=f(9, 11)),
)
t("layernorm1", [N("LayerNormalization", ["x", "s"], ["y"])], dict(s=f(11)))
t("softmax1", [N("Softmax", ["x"], ["y"])], {}, opset=11)
t("softmaxa", [N("Softmax", ["x"], ["y"], axis=1)], {})
t("dropout", [N("Dropout", ["x"], ["y"])], {})
t(
    "shape",
    [
        N("Shape", ["x"], ["s"]),
        N("Gather", ["s", "z"], ["b"], axis=0),
        N("Unsqueeze", ["b", "ax"], ["b1"]),
        N("Concat", ["b1", "m"], ["t"], axis=0),
        N("Reshape", ["x", "t"], ["y"]),
    ],
    dict(z=np.int64(0), ax=i(0), m=i(-1)),
)
t("cast", [N("Cast", ["x"], ["a"], to=1), N("Mul", ["a", "k"], ["y"])], dict(k=np.float32(2)))
t(
    "const",
    [
        N("Constant", [], ["c"], value=nh.from_array(f(4, 1, 1))),
        N("ConstantOfShape", ["sh"], ["z"], value=nh.from_array(np.array([2.0], "f4"))),
        N("Add", ["c", "z"], ["c2"]),
        N("Mul", ["x", "c2"], ["y"]),
    ],
    dict(sh=i(4, 1, 1)),
)
t(
    "wtrans",
    [
        N("Flatten", ["x"], ["a"]),
        N("Transpose", ["w"], ["wt"], perm=[1, 0]),
        N("MatMul", ["a", "wt"], ["m"]),
        N("Add", ["m", "b"], ["y"]),
    ],
    dict(w=f(7, 396), b=f(7)),
)
# Half of the rows, from the shape by Split, Cast, a single place and Div, and pads turned as PyTorch does it.
t(
    "whole",
    [
        N("Shape", ["x"], ["s"]),
        N("Split", ["s"], ["s0", "s1"], axis=0),
        N("Cast", ["s1"], ["s2"], to=6),
        N("Cast", ["s2"], ["s3"], to=7),
        N("Gather", ["s3", "zero"], ["h"], axis=0),
        N("Div", ["h", "two"], ["h2"]),
        N("Unsqueeze", ["h2", "first"], ["end"]),
        N("Slice", ["x", "first", "end", "axis"], ["half"]),
        N("Expand", ["first", "four"], ["z"]),
        N("Concat", ["p", "z"], ["p8"], axis=0),
        N("Reshape", ["p8", "pairs"], ["p2"]),
        N("Slice", ["p2", "last", "low", "first", "last"], ["p3"]),
        N("Transpose", ["p3"], ["p4"], perm=[1, 0]),
        N("Reshape", ["p4", "last"], ["pads"]),
        N("Pad", ["half", "pads"], ["y"]),
    ],
    dict(
        zero=np.int64(0),
        two=np.int64(2),
        first=i(0),
        axis=i(2),
        four=i(4),
        p=i(1, 0, 2, 3),
        pairs=i(-1, 2),
        last=i(-1),
        low=i(-9223372036854775807),
    ),
    opset=13,
)
# Local response normalisation as PyTorch writes it out.
t(
    "torchlrn",
    [
        N("Mul", ["x", "x"], ["s"]),
        N("Reshape", ["s", "r5"], ["s5"]),
        N("Pad", ["s5", "p"], ["sp"]),
        N("AveragePool", ["sp"], ["sa"], kernel_shape=[3, 1, 1], strides=[1, 1, 1]),
        N("Reshape", ["sa", "r4"], ["sq"]),
        N("Mul", ["sq", "al"], ["sm"]),
        N("Add", ["sm", "kk"], ["sk"]),
        N("Pow", ["sk", "be"], ["sd"]),
        N("Div", ["x", "sd"], ["y"]),
    ],
    dict(
        r5=i(1, 1, 4, 9, 11),
        p=i(0, 0, 1, 0, 0, 0, 0, 1, 0, 0),
        r4=i(1, 4, 9, 11),
        al=np.float32(0.5),
        kk=np.float32(1.5),
        be=np.float32(0.75),
    ),
)
for mode in ("nearest", "linear", "cubic"):
    for how in ("half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric", "half_pixel_symmetric"):
        for k, factors in enumerate(((2, 3), (1.5, 2.3), (0.6, 0.5), (1, 0.1))):
            t(
                f"resize-{mode}-{how}-{k}",
                [N("Resize", ["x", "", "s"], ["y"], mode=mode, coordinate_transformation_mode=how)],
                dict(s=np.array([1, 1, *factors], "f4")),
                opset=19,
            )
    t(
        f"resize-{mode}-sizes",
        [N("Resize", ["x", "", "", "s"], ["y"], mode=mode, axes=[2, 3])],
        dict(s=i(13, 7)),
        opset=18,
    )
    t(
        f"resize-{mode}-13",
        [N("Resize", ["x", "r", "", "s"], ["y"], mode=mode)],
        dict(r=np.array([], "f4"), s=i(1, 4, 18, 22)),
        opset=13,
    )
for nearest in ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil"):
    for k, factors in enumerate(((2, 3), (1.5, 2.3), (0.6, 0.5))):
        t(
            f"resize-{nearest}-{k}",
            [N("Resize", ["x", "", "s"], ["y"], nearest_mode=nearest)],
            dict(s=np.array([1, 1, *factors], "f4")),
        )
t(
    "resize-cubic-inside",
    [N("Resize", ["x", "", "s"], ["y"], mode="cubic", exclude_outside=1, cubic_coeff_a=-0.5)],
    dict(s=np.array([1, 1, 2, 0.7], "f4")),
)
t("resize10", [N("Resize", ["x", "s"], ["y"])], dict(s=np.array([1, 1, 2, 1.5], "f4")), opset=10)
t("resize10-less", [N("Resize", ["x", "s"], ["y"])], dict(s=np.array([1, 1, 0.5, 0.6], "f4")), opset=10)
t("upsample9", [N("Upsample", ["x", "s"], ["y"])], dict(s=np.array([1, 1, 2, 1.5], "f4")), opset=9)
t("upsample9-linear", [N("Upsample", ["x", "s"], ["y"], mode="linear")], dict(s=np.array([1, 1, 2, 3], "f4")), opset=9)
t("upsample7", [N("Upsample", ["x"], ["y"], scales=[1.0, 1.0, 2.0, 3.0])], {}, opset=7)
t("tile", [N("Tile", ["x", "k"], ["y"])], dict(k=i(1, 2, 1, 3)))
t("depth", [N("DepthToSpace", ["x"], ["y"], blocksize=2)], {})
t("depth-crd", [N("DepthToSpace", ["x"], ["y"], blocksize=2, mode="CRD")], {})
t("space", [N("SpaceToDepth", ["x"], ["y"], blocksize=3)], {}, [1, 4, 9, 12])
for op in ("Max", "Min"):
    t(op, [N("Mul", ["x", "x"], ["a"]), N(op, ["x", "c", "a"], ["y"])], dict(c=f(4, 1, 1)))
    t(op + "1", [N(op, ["x", "c"], ["y"])], dict(c=np.float32(0)))
    t(op + "2", [N(op, ["c", "x"], ["y"])], dict(c=np.array([0.3], "f4")))
    t("Reduce" + op, [N("Reduce" + op, ["x"], ["y"], axes=[1, -1], keepdims=0)], {})
    t("Reduce" + op + "18", [N("Reduce" + op, ["x", "k"], ["y"])], dict(k=i(2)), opset=18)
t("l2", [N("ReduceL2", ["x"], ["y"], axes=[1, 2])], {})
t("instance", [N("InstanceNormalization", ["x", "s", "b"], ["y"])], dict(s=f(4), b=f(4)))
t("group18", [N("GroupNormalization", ["x", "s", "b"], ["y"], num_groups=2)], dict(s=f(2), b=f(2)), opset=18)
t("group21", [N("GroupNormalization", ["x", "s", "b"], ["y"], num_groups=2)], dict(s=f(4), b=f(4)), opset=21)
bad = 0
for name, nodes, inits, shape, opset in tests:
    m = model(nodes, inits, shape, opset)
    onnx.save(m, f"{FOLDER}/m.onnx")
    x = f(*shape)
    np.savez(FOLDER + "/in.npz", x=x)
    try:
        ref = ort.InferenceSession(FOLDER + "/m.onnx", providers=["CPUExecutionProvider"]).run(
            None, {"x": x}
        )[0]
    except Exception as e:
        print(name, "ORT", str(e)[:150])
        continue
    if os.path.exists(FOLDER + "/out.npz"):
        os.remove(FOLDER + "/out.npz")
    r = subprocess.run(
        [
            PROGRAM,
            "convnet",
            "project",
            "--model",
            FOLDER + "/m.onnx",
            "--arrays",
            FOLDER + "/in.npz",
            "--layer",
            "y",
            "--out",
            FOLDER + "/out.npz",
        ],
        capture_output=True,
        text=True,
    )
    if r.returncode:
        print(name, "ERR", r.stderr[-300:])
        bad += 1
        continue
    o = np.load(FOLDER + "/out.npz")["logits"]
    if o.shape != ref.shape:
        print(name, "shape", o.shape, ref.shape)
        bad += 1
        continue
    e = np.abs(o - ref).max() / max(1e-9, np.abs(ref).max())
    if not e < 2e-6:
        print(name, "%.2e" % e)
        bad += 1
print(len(tests), "tests", bad, "bad")
