"""A captioner of the real architecture with random weights, for where none is shipped.

What a caption costs depends on the sizes of the network and on the length of the caption. The
former are the recipe's; nearly no caption of random weights ends by itself, so the declared
``max_tokens`` makes all as long as the captions of Flickr8k are on average.

``python -m benchmarks.captions.untrained FOLDER`` writes it, in a process of its own, so that
PyTorch stays out of the one that measures.
"""

import sys
from pathlib import Path

import torch
from onnx import helper

from quartet.artifact import (
    ENCODER_FILE,
    METADATA_KEY,
    MODEL_FILE,
    PREFILL_FILE,
    CaptionDefaults,
    ImageCaptioningTask,
    ImageSpec,
    dump_task,
)
from training.caption.config import CaptionModelConfig
from training.caption.conversion import rules_of, weights_of
from training.caption.encoder_graph import encoder_graph, grid_of
from training.caption.graphs.build import build_graphs
from training.caption.model import Captioner, CaptionModel
from training.data.caption_text import BEGIN, END, UNKNOWN
from training.export.files import write_graphs
from training.export.graph import to_onnx
from training.vision.resnet import ResidualEncoder

SIDE = 160
"""Of the encoder's input, pixels."""
WORDS = 2600
"""About as many as occur five times in the captions of Flickr8k."""
LENGTH = 11
"""Words of a caption."""


def write_untrained(folder: Path, seed: int = 0) -> Path:
    """Write version 1 of a captioner into its folder in a repository; the version's folder."""
    torch.manual_seed(seed)
    config = CaptionModelConfig()
    symbols = (BEGIN, END, UNKNOWN, *(f"w{number}" for number in range(WORDS)))
    encoder = ResidualEncoder(config.residual.channels, config.residual.blocks)
    model = CaptionModel(config, encoder.channels, symbols, dropout=0.0)
    captioner = Captioner(encoder, model).eval()
    rows, columns = grid_of(captioner, SIDE)
    rules = rules_of(symbols)
    graphs = build_graphs(weights_of(model, rows * columns), rules, "float32")
    task = ImageCaptioningTask(
        vocabulary=symbols,
        states=graphs.states,
        constants=graphs.constants,
        begin=BEGIN,
        stop=(END,),
        unknown=UNKNOWN,
        hidden=(BEGIN, UNKNOWN),
        image=ImageSpec(layout="HWC", mode="RGB", height=SIDE, width=SIDE),
        grid=(rows, columns),
        defaults=CaptionDefaults(max_tokens=LENGTH),
        max_tokens=50,
    )
    helper.set_model_props(graphs.decode, {METADATA_KEY: dump_task(task)})
    version = folder / "1"
    version.mkdir(parents=True)
    write_graphs(version, {MODEL_FILE: graphs.decode, PREFILL_FILE: graphs.prefill})
    pictures = torch.zeros(2, SIDE, SIDE, 3, dtype=torch.uint8)
    write_graphs(version, {ENCODER_FILE: to_onnx(encoder_graph(captioner, pictures))})
    return version


if __name__ == "__main__":
    write_untrained(Path(sys.argv[1]))
