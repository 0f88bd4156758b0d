"""Networks that caption a picture. B rows, L places of the grid, T words, V symbols.

attention  Xu et al. 2015, "Show, Attend and Tell", deterministic soft attention (section 4.2)
plain      Vinyals et al. 2015, "Show and Tell"

A residual network gives features F [B, C, L]. What words are made of lies in (-1, 1) throughout, so
that all products of a step have an integer form of fixed scale:

    values = tanh(W_v F + b_v) [B, L, D]    keys = W_k values + b_k [B, L, A]
    x_t    = tanh(embedding of word t)
    e_i    = w_a . tanh(keys_i + W_q h_{t-1})          alpha = softmax(e)
    z_t    = sigmoid(w_g . h_{t-1} + b_g) sum_i alpha_i values_i        (section 4.2.1)
    h_t, c_t = LSTM([x_t; z_t], h_{t-1}, c_{t-1})
    o_t    = tanh(W_o [x_t; z_t; h_t] + b_o)           scores = W_s o_t + b_s     (eq. 7)

The plain network has no z: it reads the picture's mean features as the LSTM's input before the
first word. The attention network starts from linear functions of them.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.caption.config import CaptionModelConfig
from training.data.caption_text import BEGIN, UNKNOWN

NEVER = -1e4
"""Added to the score of a symbol that is no word of a caption; its probability is 0."""


_SHRINK = 0.75
"""Share of the captions under which those that have ended are left out of the steps."""


class WordState(NamedTuple):
    """What the decoder remembers of a caption."""

    hidden: Tensor
    """[B, H], in (-1, 1)."""
    cell: Tensor
    """[B, H]."""


class Picture(NamedTuple):
    """What the decoder sees of pictures."""

    state: WordState
    """To begin with."""
    values: Tensor | None
    """[B, L, D], in (-1, 1); None without attention."""
    keys: Tensor | None
    """[B, L, A]; None without attention."""

    def repeat(self, times: int) -> "Picture":
        """Each row ``times`` times, side by side."""
        return self.map(lambda x: x.repeat_interleave(times, 0))

    def select(self, rows: Tensor) -> "Picture":
        """Some rows."""
        return self.map(lambda x: x[rows])

    def map(self, change: Callable[[Tensor], Tensor]) -> "Picture":
        """``change`` of every tensor."""
        return Picture(
            WordState(change(self.state.hidden), change(self.state.cell)),
            None if self.values is None else change(self.values),
            None if self.keys is None else change(self.keys),
        )


class PictureReader(nn.Module):
    """From features of the encoder to what the decoder sees."""

    def __init__(self, config: CaptionModelConfig, channels: int, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        if config.decoder == "attention":
            self.values: nn.Linear | None = nn.Linear(channels, config.values)
            self.keys: nn.Linear | None = nn.Linear(config.values, config.keys)
            self.hidden = nn.Linear(channels, config.width)
            self.cell = nn.Linear(channels, config.width)
        else:
            self.values = self.keys = None
            self.summary = nn.Linear(channels, config.embedding)
            self.first = nn.LSTMCell(config.embedding, config.width)

    def forward(self, features: Tensor) -> Picture:
        """What the decoder sees of features [B, C, h, w]."""
        places = self.dropout(features.flatten(2).transpose(1, 2))  # [B, L, C]
        mean = features.mean((2, 3))
        if self.values is None or self.keys is None:
            state = WordState(*self.first(torch.tanh(self.summary(self.dropout(mean)))))
            return Picture(state, None, None)
        values = torch.tanh(self.values(places))
        mean = self.dropout(mean)
        state = WordState(torch.tanh(self.hidden(mean)), self.cell(mean))
        return Picture(state, values, self.keys(values))


class Attention(nn.Module):
    """Soft attention over the places of a picture (section 4.2), with its gate."""

    def __init__(self, config: CaptionModelConfig) -> None:
        super().__init__()
        self.query = nn.Linear(config.width, config.keys, bias=False)
        self.energy = nn.Linear(config.keys, 1, bias=False)
        self.gate = nn.Linear(config.width, 1)

    def forward(self, hidden: Tensor, values: Tensor, keys: Tensor) -> tuple[Tensor, Tensor]:
        """The context [B, D] and the shares of the places [B, L], for hidden [B, H]."""
        energy = self.energy(torch.tanh(keys + self.query(hidden).unsqueeze(1))).squeeze(2)
        shares = torch.softmax(energy.float(), dim=1)
        context = torch.bmm(shares.to(values).unsqueeze(1), values).squeeze(1)
        gated: Tensor = torch.sigmoid(self.gate(hidden)) * context
        return gated, shares


class WordDecoder(nn.Module):
    """Reads one word and scores the next."""

    def __init__(self, config: CaptionModelConfig, symbols: int, dropout: float) -> None:
        super().__init__()
        self.embedding = nn.Embedding(symbols, config.embedding)
        attends = config.decoder == "attention"
        self.attention = Attention(config) if attends else None
        inputs = config.embedding + (config.values if attends else 0)
        self.cell = nn.LSTMCell(inputs, config.width)
        self.output = nn.Linear(inputs + config.width, config.output)
        self.scores = nn.Linear(config.output, symbols)
        self.dropout = nn.Dropout(dropout)

    def embed(self, tokens: Tensor) -> Tensor:
        """Embeddings [..., E] in (-1, 1) of int64 tokens [...]."""
        embedded: Tensor = self.dropout(torch.tanh(self.embedding(tokens)))
        return embedded

    def step(
        self, embedded: Tensor, state: WordState, picture: Picture
    ) -> tuple[Tensor, WordState, Tensor | None]:
        """Read one word.

        Args:
            embedded: [B, E].
            state: before the word.
            picture: of the same rows.

        Returns:
            What ``score`` takes [B, E + D + H]; the state after the word; the shares of the places
            [B, L], None without attention.
        """
        shares = None
        if self.attention is not None and picture.values is not None and picture.keys is not None:
            context, shares = self.attention(state.hidden, picture.values, picture.keys)
            embedded = torch.cat((embedded, context.to(embedded)), dim=1)
        hidden, cell = self.cell(embedded, (state.hidden, state.cell))
        return torch.cat((embedded, hidden.to(embedded)), dim=1), WordState(hidden, cell), shares

    def score(self, read: Tensor) -> Tensor:
        """Scores [..., V] of the next word, from what ``step`` returned [..., E + D + H]."""
        scores: Tensor = self.scores(self.dropout(torch.tanh(self.output(read))))
        return scores


class CaptionModel(nn.Module):
    """Reader and decoder, with the vocabulary; the encoder stands beside it.

    Args:
        config: architecture.
        channels: of the encoder's features.
        symbols: the vocabulary, one text a symbol.
        dropout: of features, embeddings and the layer before the scores.
    """

    vocabulary: Tensor
    """``symbols`` as UTF-8, one a line, so that a checkpoint tells its own; uint8."""
    offset: Tensor
    """[V], 0 for words and the end, ``NEVER`` for the symbols that are no part of a caption."""

    def __init__(
        self, config: CaptionModelConfig, channels: int, symbols: tuple[str, ...], dropout: float
    ) -> None:
        super().__init__()
        self.symbols = symbols
        text = bytearray("\n".join(symbols).encode())
        self.register_buffer("vocabulary", torch.frombuffer(text, dtype=torch.uint8))
        self.reader = PictureReader(config, channels, dropout)
        self.decoder = WordDecoder(config, len(symbols), dropout)
        offset = torch.zeros(len(symbols))
        offset[[symbols.index(BEGIN), symbols.index(UNKNOWN)]] = NEVER
        self.register_buffer("offset", offset, persistent=False)

    def forward(
        self, features: Tensor, tokens: Tensor, lengths: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """Scores of whole captions at once; no step is spent on what stands behind a caption.

        Args:
            features: [B, C, h, w].
            tokens: int64 [B, T], words read; the first is ``BEGIN``.
            lengths: int64 [B], words of each caption to be read, 1 to T, falling.

        Returns:
            Scores [N, V] of the word after each one read, in the order of ``pack``; and the shares
            of the places [B, T, L] behind each, 0 behind a caption's length; None without
            attention.
        """
        picture = self.reader(features)
        embedded = self.decoder.embed(tokens)
        state, reads, shares = picture.state, [], []
        rows = len(tokens)
        for time, live in enumerate(_live_rows(lengths, tokens.shape[1])):
            if live <= _SHRINK * rows:  # cutting has a price too, above all in the backward pass
                picture = picture._replace(state=state).map(lambda x, n=live: x[:n])
                state, rows = picture.state, live
            read, state, share = self.decoder.step(embedded[:rows, time], state, picture)
            reads.append(read[:live])
            if share is not None:
                shares.append(functional.pad(share[:live], (0, 0, 0, len(tokens) - live)))
        scores = self.decoder.score(torch.cat(reads)).float() + self.offset
        return scores, torch.stack(shares, dim=1) if shares else None

    def next_scores(
        self, tokens: Tensor, state: WordState, picture: Picture
    ) -> tuple[Tensor, WordState, Tensor | None]:
        """Read tokens int64 [B]: log-probabilities [B, V], the state after, the shares [B, L]."""
        read, state, shares = self.decoder.step(self.decoder.embed(tokens), state, picture)
        scores = self.decoder.score(read).float() + self.offset
        return torch.log_softmax(scores, dim=1), state, shares


def pack(values: Tensor, lengths: Tensor) -> Tensor:
    """The places [N] of ``values`` [B, T] within ``lengths`` [B], which fall; time by time."""
    return torch.cat(
        [values[:live, time] for time, live in enumerate(_live_rows(lengths, values.shape[1]))]
    )


def _live_rows(lengths: Tensor, longest: int) -> list[int]:
    """How many captions go on at each time."""
    return [int((lengths > time).sum()) for time in range(longest)]


class Captioner(nn.Module):
    """The whole network: what ``best.pt`` holds and what is exported.

    Args:
        encoder: standardised pictures [B, 3, S, S] to features [B, channels, S/16, S/16].
        model: reader and decoder.
    """

    def __init__(self, encoder: nn.Module, model: CaptionModel) -> None:
        super().__init__()
        self.encoder = encoder
        self.model = model

    def see(self, pictures: Tensor) -> Picture:
        """What the decoder sees of standardised pictures [B, 3, S, S]."""
        picture: Picture = self.model.reader(self.encoder(pictures).float())
        return picture
