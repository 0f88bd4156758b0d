"""Character language models: embedding, sequence model, linear layer to the logits.

rnn   h_t = tanh(W x_t + U h_(t-1) + b)                        (Elman 1990)
gru   gated recurrent units                                    (Cho et al. 2014)
lstm  long short-term memory with forget gates                 (Hochreiter, Schmidhuber 1997;
                                                                Gers et al. 2000)
tcn   residual blocks of dilated causal convolutions           (Bai, Kolter, Koltun 2018)

Dropout falls on what goes up, between layers and before the last one, never on the recurrent
connections (Zaremba et al. 2014).
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from training.nn.initialisation import initialise
from training.text.config import TextConfig, TextModelConfig
from training.text.tcn import TemporalConvNet

State = tuple[Tensor, ...]
"""What a model remembers of the text so far, one tensor a name of ``state_names``, batch first."""


class CharModel(nn.Module):
    """Predicts the next character from those before it; state in, state out.

    Args:
        config: architecture.
        symbols: the vocabulary, one character each; index i of the logits means ``symbols[i]``.
        dropout: share of units zeroed in training.
    """

    code_points: Tensor
    """int64 [V]: the vocabulary, which so travels with the weights."""

    def __init__(self, config: TextModelConfig, symbols: Sequence[str], dropout: float) -> None:
        super().__init__()
        self._layers, self._width = config.layers, config.width
        self.embedding = nn.Embedding(len(symbols), config.embedding)
        self.recurrent = _make_recurrent(config, dropout)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(config.width, len(symbols))
        self.register_buffer("code_points", torch.tensor([ord(symbol) for symbol in symbols]))

    @property
    def symbols(self) -> tuple[str, ...]:
        """The vocabulary, by index."""
        return tuple(chr(point) for point in self.code_points.tolist())

    @property
    def state_names(self) -> tuple[str, ...]:
        """Names of the state's tensors, in order."""
        if isinstance(self.recurrent, TemporalConvNet):
            return tuple(f"context_{i}" for i in range(len(self.recurrent.context_shapes())))
        return ("hidden", "cell") if isinstance(self.recurrent, nn.LSTM) else ("hidden",)

    def initial_state(self, batch: int) -> State:
        """The state before any text: float32 zeros on the weights' device.

        rnn, gru, lstm: [batch, layers, width] each; tcn: [batch, channels, kept steps] for each
        convolution.
        """
        if isinstance(self.recurrent, TemporalConvNet):
            shapes = self.recurrent.context_shapes()
        else:
            shapes = [(self._layers, self._width)] * len(self.state_names)
        device = self.head.weight.device
        return tuple(torch.zeros(batch, *shape, device=device) for shape in shapes)

    def forward(self, ids: Tensor, state: State) -> tuple[Tensor, State]:
        """Logits [B, T, V] of what follows each of ``ids``, integers [B, T]; the state after them.

        A text fed in pieces, with the state handed on, gives the logits of one pass.
        """
        x = self.embedding(ids.long())
        if isinstance(self.recurrent, TemporalConvNet):
            y, after = self.recurrent(x, state)
        else:
            # PyTorch's recurrent layers want the state as [layers, B, width].
            before = tuple(part.transpose(0, 1).contiguous() for part in state)
            y, last = self.recurrent(x, before if len(before) > 1 else before[0])
            parts = last if isinstance(last, tuple) else (last,)
            after = tuple(part.transpose(0, 1) for part in parts)
        return self.head(self.dropout(y)), after


def build_model(config: TextConfig, symbols: Sequence[str]) -> CharModel:
    """A new model, its weights drawn from PyTorch's global generator."""
    model = CharModel(config.model, symbols, config.regularisation.dropout)
    initialise(model, config.init, "tanh")
    return model


def _make_recurrent(
    config: TextModelConfig, dropout: float
) -> nn.RNN | nn.GRU | nn.LSTM | TemporalConvNet:
    sizes = (config.embedding, config.width, config.layers)
    if config.cell == "tcn":
        return TemporalConvNet(
            *sizes, kernel=config.kernel, dropout=dropout, weight_norm=config.weight_norm
        )
    between = dropout if config.layers > 1 else 0.0  # PyTorch warns where it has no place
    if config.cell == "rnn":
        return nn.RNN(*sizes, batch_first=True, dropout=between)
    if config.cell == "gru":
        return nn.GRU(*sizes, batch_first=True, dropout=between)
    lstm = nn.LSTM(*sizes, batch_first=True, dropout=between)
    _set_forget_bias(lstm, config.forget_bias)
    return lstm


@torch.no_grad()
def _set_forget_bias(lstm: nn.LSTM, value: float) -> None:
    """Make the forget gates' biases ``value``: PyTorch adds two, of the gates i, f, g, o."""
    forget = slice(lstm.hidden_size, 2 * lstm.hidden_size)
    for layer in range(lstm.num_layers):
        getattr(lstm, f"bias_ih_l{layer}")[forget] = value
        getattr(lstm, f"bias_hh_l{layer}")[forget] = 0.0
