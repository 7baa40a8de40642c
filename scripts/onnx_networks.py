"""Exports whole networks with random weights and compares their logits between deconvnet and ONNX Runtime.

    cargo build --release
    python3 -m venv /tmp/torch && /tmp/torch/bin/pip install numpy onnxruntime onnxscript torch torchvision
    /tmp/torch/bin/python scripts/onnx_networks.py target/release/deconvnet torch
    python3 -m venv /tmp/keras && /tmp/keras/bin/pip install numpy onnxruntime tensorflow-cpu tf2onnx
    /tmp/keras/bin/python scripts/onnx_networks.py target/release/deconvnet keras

Names of networks may follow. A line for each: the exporter, the largest difference relative to the largest logit,
or what is not supported. Keras also tells the gradient of the strongest logit, against TensorFlow's.
"""

import os
import subprocess
import sys
import tempfile

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import numpy as np
import onnxruntime as ort

ort.set_default_logger_severity(4)
PROGRAM, WORLD, *NAMES = sys.argv[1:]
FOLDER = tempfile.mkdtemp()
MODEL, IN, OUT = (os.path.join(FOLDER, name) for name in ("model.onnx", "in.npz", "out.npz"))


def projected(x, *flags):
    np.savez(IN, x=x)
    call = [PROGRAM, "convnet", "project", "--model", MODEL, "--arrays", IN, "--out", OUT, "--overwrite", *flags]
    done = subprocess.run(call, capture_output=True, text=True)
    return np.load(OUT) if done.returncode == 0 else done.stderr.strip().replace("\n", "; ")


def compared(name, exporter, x):
    session = ort.InferenceSession(MODEL, providers=["CPUExecutionProvider"])
    expected = session.run(None, {session.get_inputs()[0].name: x})[0]
    found = projected(x)
    if isinstance(found, str):
        print(f"| {name} | {exporter} | {found} |", flush=True)
        return False
    worst = np.abs(found["logits"] - expected).max() / np.abs(expected).max()
    print(f"| {name} | {exporter} | {worst:.1e} |", end="", flush=True)
    return True


def torch_networks():
    import torch
    import torchvision

    models, segmentation = torchvision.models, torchvision.models.segmentation

    class First(torch.nn.Module):
        def __init__(self, model):
            super().__init__()
            self.model = model

        def forward(self, x):
            return self.model(x)["out"]

    plain = """alexnet vgg11_bn squeezenet1_1 resnet18 resnet50 resnext50_32x4d wide_resnet50_2 densenet121 mobilenet_v2
        mobilenet_v3_small mobilenet_v3_large mnasnet1_0 shufflenet_v2_x1_0 regnet_x_400mf regnet_y_400mf
        efficientnet_b0 efficientnet_v2_s convnext_tiny googlenet inception_v3""".split()
    dense = dict(
        fcn_resnet50=segmentation.fcn_resnet50,
        deeplabv3_mobilenet_v3_large=segmentation.deeplabv3_mobilenet_v3_large,
        lraspp_mobilenet_v3_large=segmentation.lraspp_mobilenet_v3_large,
    )
    for name in NAMES or [*plain, *dense]:
        torch.manual_seed(0)
        more = dict(init_weights=False, aux_logits=False) if name in ("googlenet", "inception_v3") else {}
        if name in dense:
            model, side = First(dense[name](weights=None, weights_backbone=None, num_classes=5)), 96
        else:
            model, side = getattr(models, name)(weights=None, **more), 299 if name == "inception_v3" else 224
        for norm in model.modules():
            if isinstance(norm, torch.nn.BatchNorm2d):
                norm.running_mean.normal_(0, 0.1)
                norm.running_var.uniform_(0.5, 1.5)
        x = torch.randn(1, 3, side, side)
        for newer in (True, False):
            torch.onnx.export(model.eval(), (x,), MODEL, dynamo=newer, verbose=False)
            exporter = "PyTorch, newer" if newer else "PyTorch, older"
            if compared(name, exporter, x.numpy()):
                print(flush=True)


def keras_networks():
    import keras
    import tensorflow as tf

    names = "MobileNet MobileNetV2 MobileNetV3Small MobileNetV3Large ResNet50 ResNet50V2 DenseNet121 InceptionV3 Xception"
    for name in NAMES or [*names.split(), "NASNetMobile"]:
        keras.utils.set_random_seed(0)
        model = getattr(keras.applications, name)(weights=None)
        for layer in model.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                shape = layer.moving_mean.shape
                layer.moving_mean.assign(np.random.normal(0, 0.1, shape))
                layer.moving_variance.assign(np.random.uniform(0.5, 1.5, shape))
        x = np.random.standard_normal((1, *model.input_shape[1:])).astype("f4")
        model(x)
        model.export(MODEL, format="onnx", verbose=False)
        if not compared(name, "Keras", x):
            continue
        given = tf.constant(x)
        with tf.GradientTape() as tape:
            tape.watch(given)
            logits = model(given, training=False)[0]
            unit = int(np.argmax(logits))
            strongest = logits[unit]
        expected = tape.gradient(strongest, given).numpy()
        back = projected(x, "--rule", "gradient", "--start", "one", "--unit", str(unit))["projection"]
        print(f" {np.abs(back - expected).max() / np.abs(expected).max():.1e} |", flush=True)


{"torch": torch_networks, "keras": keras_networks}[WORLD]()
