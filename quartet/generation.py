"""How a recurrent generator is declared and what its two graphs look like.

A generator is a model folder version with two graphs that share their weights. Everything that
decoding needs is in them and in the declaration, so that a network of any cell is served by the
same code. Axis 0 of every tensor is the batch: a row is one text being written.

``model.onnx``, the decode graph, makes K steps in one run (K is the length of ``uniform``). In each
step it feeds the last symbol to the network and draws the next one from

    p = softmax(z' / temperature), restricted to top_k and top_p
    next = the first i with  p_0 + ... + p_i  >  uniform * sum(p)

where z' are the network's scores after the penalties. temperature 0 takes the largest score.

=======================  ===============================  ==========================================
input                    type                             meaning
=======================  ===============================  ==========================================
token                    int64 [batch]                    last symbol, not yet fed to the network
<state inputs>           float32 [batch, ...]             one for each declared pair
temperature              float32 [batch]                  >= 0; 0 is greedy
top_k                    int64 [batch]                    keep the k likeliest; 0 keeps all
top_p                    float32 [batch]                  likeliest with sum >= p; 1 keeps all
repetition_penalty       float32 [batch]                  > 0; scores of symbols already seen are
                                                          divided (if > 0) or multiplied by it
presence_penalty         float32 [batch]                  subtracted from symbols already seen;
                                                          optional
frequency_penalty        float32 [batch]                  subtracted each time one was; optional
minimum                  int64 [batch]                    stop symbols cannot be drawn in so many
                                                          first steps of this run; optional
alternatives             int64 [batch]                    > 0: fill ``top_tokens``, at a cost
uniform                  float32 [batch, steps]           in [0, 1), one for each row and step
<constants>              float32 [batch, ...]             what a row keeps unchanged, such as the
                                                          features of a picture; as declared
=======================  ===============================  ==========================================

=======================  ===============================  ==========================================
output                   type                             meaning
=======================  ===============================  ==========================================
tokens                   int64 [batch, steps]             symbols drawn
log_probabilities        float32 [batch, steps]           of those, under softmax(z): temperature 1,
                                                          no penalty, no restriction; nats
top_tokens               int64 [batch, steps, top]        likeliest first; ties by ascending id
top_log_probabilities    float32 [batch, steps, top]      theirs; zeros where nobody asked
attention                float32 [batch, steps, places]   share of each place of the constants in
                                                          the drawing of the symbol; optional
<state outputs>          as the state inputs              after the K steps
=======================  ===============================  ==========================================

``prefill.onnx`` reads T symbols at once:

=======================  ===============================  ==========================================
tokens (in)              int64 [batch, time]              symbols; past ``length`` they are ignored
length (in)              int64 [batch]                    0..time
<state inputs>           float32 [batch, ...]
<constants>              float32 [batch, ...]
log_probabilities (out)  float32 [batch, time, symbols]   of the symbol after each one read
attention (out)          float32 [batch, time, places]    of the same; optional
<state outputs>          as the state inputs              after ``length`` symbols
=======================  ===============================  ==========================================

A captioner has a third graph, ``encoder.onnx``: from pictures, as its declaration says, to the
constants and to the states that a caption begins with, each under its name as an input of decode. A
state that it does not give begins at zero, as all states of a text do.

Seen is what the state has read, the prompt too, and ``token``. The restriction keeps the symbols
whose p is at least that of the k-th and at least that at which the sum over the likelier ones
reaches top_p, both before any restriction; ties are kept.

A row's outputs depend on that row alone: not on the batch's size, on its neighbours, nor on how
its steps are divided among runs. Prefill and decode leave the same state after the same symbols.
On the CPU provider both hold bit for bit.
"""

from typing import Literal, Self

from pydantic import Field, model_validator

from quartet.config import Config

TOKEN = "token"
TEMPERATURE = "temperature"
TOP_K = "top_k"
TOP_P = "top_p"
REPETITION_PENALTY = "repetition_penalty"
PRESENCE_PENALTY = "presence_penalty"
FREQUENCY_PENALTY = "frequency_penalty"
MINIMUM = "minimum"
ALTERNATIVES = "alternatives"
UNIFORM = "uniform"
TOKENS = "tokens"
LOG_PROBABILITIES = "log_probabilities"
TOP_TOKENS = "top_tokens"
TOP_LOG_PROBABILITIES = "top_log_probabilities"
ATTENTION = "attention"
LENGTH = "length"

MAX_TOP = 20
"""Most alternatives that a graph offers for each step; fewer if it has fewer symbols."""


class StatePair(Config):
    """One recurrent state: what the graph writes to ``output`` it wants back as ``input``."""

    input: str
    """Name of the graph input, in both graphs."""
    output: str
    """Name of the graph output, in both graphs."""


class GenerationDefaults(Config):
    """What a request gets that does not say otherwise."""

    max_tokens: int = Field(default=200, ge=1)
    """Symbols written."""
    temperature: float = Field(default=1.0, ge=0.0)
    """Divides the scores; 0 always takes the likeliest symbol."""
    top_k: int = Field(default=0, ge=0)
    """Draw from the k likeliest symbols; 0: from all."""
    top_p: float = Field(default=1.0, gt=0.0, le=1.0)
    """Draw from the likeliest symbols whose probabilities reach this sum (Holtzman et al. 2020)."""
    repetition_penalty: float = Field(default=1.0, gt=0.0)
    """Makes symbols seen before less likely where > 1 (Keskar et al. 2019, section 4.1)."""


class GeneratorTask(Config):
    """What decoding needs to know of a generator of any kind."""

    vocabulary: tuple[str, ...] = Field(min_length=1)
    """Text of each symbol, by id."""
    states: tuple[StatePair, ...]
    """The recurrent state."""
    constants: tuple[str, ...] = ()
    """Inputs of both graphs that a row keeps unchanged from its first symbol to its last."""
    begin: str
    """Symbol that the network reads first."""
    stop: tuple[str, ...] = ()
    """Symbols that end the text and are not part of it; empty if the model knows no end."""
    unknown: str | None = None
    """Symbol that stands for any text outside the vocabulary; none: it has none."""
    max_tokens: int = Field(default=100_000, ge=1)
    """Most symbols that one request may ask for."""
    steps: int = Field(default=16, ge=1, le=256)
    """Steps K of one run: text leaves the server in pieces of this many symbols."""
    precision: str = "float32"
    """Arithmetic of the weights, for instance float32 or int8."""

    @model_validator(mode="after")
    def _check_symbols(self) -> Self:
        if len(set(self.vocabulary)) != len(self.vocabulary):
            twice = sorted({s for s in self.vocabulary if self.vocabulary.count(s) > 1})
            raise ValueError(f"vocabulary: each symbol must occur once, {twice[0]!r} occurs again")
        unknown = () if self.unknown is None else (self.unknown,)
        for field, symbols in (
            ("begin", (self.begin,)),
            ("stop", self.stop),
            ("unknown", unknown),
        ):
            for symbol in symbols:
                if symbol not in self.vocabulary:
                    raise ValueError(f"{field}: {symbol!r} is no symbol of the vocabulary")
        return self


class TextGenerationTask(GeneratorTask):
    """The graphs write text, one symbol of the vocabulary after the other.

    Every symbol is whole characters, so text is never cut inside one; in a character model each is
    one character.
    """

    task: Literal["text_generation"] = "text_generation"
    """Discriminator."""
    begin: str = "\n"
    """Symbol that the network reads first where there is no prompt."""
    defaults: GenerationDefaults = GenerationDefaults()
    """For requests that do not say otherwise."""
