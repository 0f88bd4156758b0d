"""Runs and scorers of digits with random weights, for tests of what is measured of them."""

from pathlib import Path
from typing import Literal

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

from training.checkpoint import save_checkpoint
from training.dcgan.config import (
    AdversarialRegularisationConfig,
    DcganConfig,
    DcganModelConfig,
    PicturesConfig,
)
from training.dcgan.model import Discriminator, Generator
from training.dcgan.prompts import digit_grammar
from training.dcgan.task import DcganNetworks
from training.rundir import RunDirectory

LATENT = 6
FEATURES = 8


def write_run(folder: Path, condition: Literal["none", "class", "prompt"] = "none") -> Path:
    """A run of family dcgan on MNIST with networks as they were drawn."""
    torch.manual_seed(2)
    config = DcganConfig(
        dataset="mnist",
        model=DcganModelConfig(
            side=28,
            channels=1,
            latent=LATENT,
            generator_width=4,
            discriminator_width=4,
            condition=condition,
            condition_width=4,
        ),
        data=PicturesConfig(verify=False),
        regularisation=AdversarialRegularisationConfig(ema_decay=0.0),
    )
    symbols = {"none": 0, "class": 10, "prompt": len(digit_grammar().vocabulary)}[condition]
    networks = DcganNetworks(Generator(config.model, symbols), Discriminator(config.model, symbols))
    run = RunDirectory(folder)
    run.create("dcgan", config)
    save_checkpoint(run.best, {"model": networks.state_dict(), "step": 1, "metrics": {}})
    return folder


def write_digit_scorer(repository: Path) -> Path:
    """A linear classifier of digits on one hidden layer, as ``<repository>/mnist/1/model.onnx``."""
    random = np.random.default_rng(4)
    shapes = {"w1": (784, FEATURES), "b1": (FEATURES,), "w2": (FEATURES, 10), "b2": (10,)}
    weights = {
        name: (random.normal(size=shape) / np.sqrt(shape[0])).astype(np.float32)
        for name, shape in shapes.items()
    }
    nodes = [
        helper.make_node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("Flatten", ["pixels"], ["flat"]),
        helper.make_node("Mul", ["flat", "scale"], ["scaled"]),
        helper.make_node("Gemm", ["scaled", "w1", "b1"], ["hidden"]),
        helper.make_node("Relu", ["hidden"], ["active"]),
        helper.make_node("Gemm", ["active", "w2", "b2"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"]),
    ]
    tensors = {**weights, "scale": np.array(1 / 255, np.float32)}
    graph = helper.make_graph(
        nodes,
        "scorer",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["batch", 28, 28])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["batch", 10])],
        [numpy_helper.from_array(value, name) for name, value in tensors.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    file = repository / "mnist" / "1" / "model.onnx"
    file.parent.mkdir(parents=True)
    onnx.save(model, file)
    return file
