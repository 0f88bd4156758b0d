"""The encoder graph: from pictures to what a caption begins with (``quartet.generation``)."""

import copy
from typing import cast

import torch
from torch import Tensor, nn

from quartet.artifact import ENCODER_FILE
from training.caption.graphs.network import CELL, HIDDEN, IMAGE, KEYS, VALUES
from training.caption.model import Captioner
from training.export.spec import ExportGraph
from training.vision.views import standardise

_ROWS = 2
"""Of the example; one would be frozen into the graph."""


class FirstStep(nn.Module):
    """What an LSTM makes of its first input. Its state is zero before, so U has no part in it."""

    def __init__(self, cell: nn.LSTMCell) -> None:
        super().__init__()
        self.gates = nn.Linear(cell.input_size, 4 * cell.hidden_size)
        with torch.no_grad():
            self.gates.weight.copy_(cell.weight_ih)
            self.gates.bias.copy_(cell.bias_ih + cell.bias_hh)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The states h and c, [B, H] each, after ``x`` [B, inputs]."""
        read, _, new, show = self.gates(x).chunk(4, dim=1)
        cell = torch.sigmoid(read) * torch.tanh(new)
        return torch.sigmoid(show) * torch.tanh(cell), cell


class PictureEncoder(nn.Module):
    """The served graph: pictures as they are decoded, in; constants and states, out."""

    def __init__(self, captioner: Captioner) -> None:
        super().__init__()
        self.captioner = copy.deepcopy(captioner)
        reader = self.captioner.model.reader
        if reader.values is None:
            reader.first = cast(nn.LSTMCell, FirstStep(reader.first))

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """uint8 [batch, S, S, 3], red, green, blue, to the outputs that ``output_names`` names."""
        pixels = image.permute(0, 3, 1, 2).float() / 255
        picture = self.captioner.see(standardise(pixels))
        state = (picture.state.hidden, picture.state.cell)
        if picture.keys is None or picture.values is None:
            return state
        return picture.keys, picture.values, *state


def output_names(captioner: Captioner) -> tuple[str, ...]:
    """Of the encoder graph; each is an input of decode."""
    attends = captioner.model.decoder.attention is not None
    return (KEYS, VALUES, HIDDEN, CELL) if attends else (HIDDEN, CELL)


def encoder_graph(captioner: Captioner, images: Tensor) -> ExportGraph:
    """The export of the encoder of any captioner; ``images``, uint8 [N, S, S, 3], are stored."""
    names = output_names(captioner)
    side = images.shape[1]
    return ExportGraph(
        module=PictureEncoder(captioner).eval(),
        inputs={IMAGE: torch.zeros(_ROWS, side, side, 3, dtype=torch.uint8)},
        outputs=names,
        dynamic_axes={name: {0: "batch"} for name in (IMAGE, *names)},
        golden_inputs={IMAGE: images.numpy()},
        filename=ENCODER_FILE,
    )


@torch.inference_mode()
def grid_of(captioner: Captioner, side: int) -> tuple[int, int]:
    """Rows and columns of the features of pictures of ``side`` x ``side`` pixels."""
    features: Tensor = captioner.encoder(torch.zeros(1, 3, side, side))
    return features.shape[2], features.shape[3]
