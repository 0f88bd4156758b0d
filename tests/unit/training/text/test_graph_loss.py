"""Loss of a text by its exported graph."""

import numpy as np
import pytest
import torch

from tests.text_models import predict_with
from training.text.config import TextModelConfig
from training.text.conversion import weights_of
from training.text.graph_loss import stream_loss
from training.text.graphs.build import build_graphs
from training.text.model import CharModel
from training.text.streams import cut_streams
from training.text.streams import stream_loss as torch_stream_loss
from training.text.torch_reference import TorchReference

SYMBOLS = 20


def test_stream_loss_is_that_of_training() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(5)
    config = TextModelConfig(cell="lstm", layers=2, width=12, embedding=6)
    model = CharModel(config, [chr(48 + i) for i in range(SYMBOLS)], dropout=0.0).eval()
    ids = torch.from_numpy(np.random.default_rng(1).integers(0, SYMBOLS, 331))
    inputs, targets = cut_streams(ids, 4)
    total = stream_loss(
        predict_with(build_graphs(weights_of(model), "float32").prefill),
        TorchReference(model).zeros(len(inputs)),
        (inputs.numpy(), targets.numpy()),
        piece=17,
    )
    # float32 sums of some hundred terms in another order.
    assert total / (len(ids) - 1) == pytest.approx(torch_stream_loss(model, ids, 4), rel=1e-5)
