"""Generator and discriminator: sizes, normalisation, spectral norm, conditions."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from training.dcgan.config import DcganModelConfig
from training.dcgan.model import Discriminator, Generator, base_side, make_condition

LATENT, SYMBOLS = 5, 6


def config(**changes: Any) -> DcganModelConfig:
    small = {
        "side": 16,
        "channels": 1,
        "latent": LATENT,
        "generator_width": 4,
        "discriminator_width": 4,
        "condition_width": 3,
    }
    return DcganModelConfig.model_validate({**small, **changes})


def noise(rows: int, seed: int = 0) -> Tensor:
    return torch.randn(rows, LATENT, generator=torch.Generator().manual_seed(seed))


def condition_of(kind: str, rows: int = 4) -> Tensor | None:
    if kind == "none":
        return None
    numbers = torch.arange(1, rows + 1)
    return numbers if kind == "class" else torch.stack([numbers, torch.zeros_like(numbers)], 1)


@pytest.mark.parametrize(
    ("side", "base"), [(16, 4), (20, 5), (24, 6), (28, 7), (32, 4), (56, 7), (64, 4), (80, 5)]
)
@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_have_the_side_and_the_channels(side: int, base: int, channels: int) -> None:
    settings = config(side=side, channels=channels)
    assert base_side(side) == base
    pictures = Generator(settings)(noise(2))
    assert pictures.shape == (2, channels, side, side)
    assert pictures.abs().max() <= 1
    assert Discriminator(settings)(pictures).shape == (2,)


def test_widths_double_towards_the_smallest_map() -> None:
    settings = config(side=64, generator_width=8, discriminator_width=4)
    up = [m for m in Generator(settings).modules() if isinstance(m, nn.ConvTranspose2d)]
    down = [m for m in Discriminator(settings).modules() if isinstance(m, nn.Conv2d)]
    assert [layer.out_channels for layer in up] == [64, 32, 16, 8, 1]
    assert [layer.out_channels for layer in down] == [4, 8, 16, 32, 1]


def test_batch_normalisation_is_everywhere_but_where_pictures_go_in_and_out() -> None:
    settings = config(side=32, spectral_norm=False)
    generator, discriminator = Generator(settings), Discriminator(settings)
    kinds = [type(layer).__name__ for layer in generator.layers]
    assert kinds == [*["ConvTranspose2d", "BatchNorm2d", "ReLU"] * 3, "ConvTranspose2d", "Tanh"]
    kinds = [type(layer).__name__ for layer in discriminator.features]
    assert kinds == ["Conv2d", "LeakyReLU", *["Conv2d", "BatchNorm2d", "LeakyReLU"] * 2]


def test_a_layer_before_batch_normalisation_has_no_bias_of_its_own() -> None:
    layers = [*Generator(config()).layers, *Discriminator(config(spectral_norm=False)).features]
    followed = [type(after).__name__ for after in layers[1:]]
    biased = [getattr(layer, "bias", None) is not None for layer in layers[:-1]]
    for layer, after, has_bias in zip(layers, followed, biased, strict=False):
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            assert has_bias == (after != "BatchNorm2d")


def test_spectral_norm_replaces_batch_normalisation() -> None:
    discriminator = Discriminator(config(spectral_norm=True, condition="class"), SYMBOLS)
    layers = [m for m in discriminator.modules() if isinstance(m, nn.Conv2d)]
    assert not any(isinstance(m, nn.BatchNorm2d) for m in discriminator.modules())
    assert all(parametrize.is_parametrized(layer, "weight") for layer in layers)


def test_spectral_norm_keeps_the_largest_singular_value_at_one() -> None:
    torch.manual_seed(0)
    discriminator = Discriminator(config(spectral_norm=True, side=32)).train()
    with torch.no_grad():
        for layer in discriminator.modules():
            if isinstance(layer, nn.Conv2d):
                layer.parametrizations.weight.original.mul_(30)  # type: ignore[union-attr, operator]  # made by PyTorch
        for _ in range(200):  # one power iteration each
            discriminator(torch.zeros(1, 1, 32, 32))
        weights = [m.weight for m in discriminator.modules() if isinstance(m, nn.Conv2d)]
    norms = [torch.linalg.matrix_norm(weight.flatten(1), 2).item() for weight in weights]
    # Power iteration comes near from below, as fast as the two largest values differ.
    assert norms == pytest.approx([1] * len(norms), abs=2e-2)


def test_a_spectrally_normed_discriminator_is_bounded_by_its_input() -> None:
    """Each layer's map is at most 4 x 4 windows that overlap twice along each axis: 2 times."""
    torch.manual_seed(0)
    discriminator = Discriminator(config(spectral_norm=True)).eval()
    one, two = torch.randn(2, 50, 1, 16, 16)
    with torch.no_grad():
        change = (discriminator(one) - discriminator(two)).abs()
    distance = (one - two).flatten(1).norm(dim=1)
    assert torch.all(change <= 2**2 * 1.05 * distance)


@pytest.mark.parametrize("kind", ["none", "class", "prompt"])
def test_a_row_does_not_depend_on_its_batch_in_eval_mode(kind: str) -> None:
    settings = config(condition=kind)
    generator = Generator(settings, SYMBOLS).eval()
    discriminator = Discriminator(settings, SYMBOLS).eval()
    said, z = condition_of(kind), noise(4)
    together = generator(z, said)
    judged = discriminator(together, said)
    for row in range(4):
        own = None if said is None else said[row : row + 1]
        alone = generator(z[row : row + 1], own)
        # Sums of float32 in another order.
        torch.testing.assert_close(alone[0], together[row], rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(discriminator(alone, own)[0], judged[row], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", ["class", "prompt"])
def test_both_networks_heed_the_condition(kind: str) -> None:
    torch.manual_seed(0)
    settings = config(condition=kind)
    said = condition_of(kind)
    assert said is not None
    z = noise(1).expand(4, -1)
    pictures = Generator(settings, SYMBOLS).eval()(z, said)
    judged = Discriminator(settings, SYMBOLS).eval()(pictures[:1].expand(4, -1, -1, -1), said)
    assert len({picture.detach().numpy().tobytes() for picture in pictures}) == 4
    assert len(set(judged.tolist())) == 4


def test_a_class_has_one_vector() -> None:
    condition = make_condition(config(condition="class"), SYMBOLS)
    assert condition is not None
    vectors = condition(torch.tensor([2, 0, 2]))
    assert vectors.shape == (3, 3)
    assert torch.equal(vectors[0], vectors[2])
    assert not torch.equal(vectors[0], vectors[1])


def test_zeros_after_a_prompt_change_nothing() -> None:
    condition = make_condition(config(condition="prompt"), SYMBOLS)
    assert condition is not None
    short, long = condition(torch.tensor([[3, 1]])), condition(torch.tensor([[3, 1, 0, 0]]))
    assert torch.equal(short, long)


def test_words_of_a_prompt_count_in_their_order() -> None:
    condition = make_condition(config(condition="prompt"), SYMBOLS)
    assert condition is not None
    forth, back, less = condition(torch.tensor([[3, 1], [1, 3], [3, 0]]))
    assert not torch.allclose(forth, back)
    assert not torch.allclose(forth, less)


def test_an_empty_prompt_is_the_zero_vector() -> None:
    condition = make_condition(config(condition="prompt"), SYMBOLS)
    assert condition is not None
    assert not condition(torch.zeros(2, 4, dtype=torch.int64)).any()


def test_a_model_without_condition_has_no_part_for_it() -> None:
    assert make_condition(config(), 0) is None
    assert Generator(config()).condition is None


@pytest.mark.parametrize("kind", ["class", "prompt"])
def test_gradients_reach_every_weight_of_both_networks(kind: str) -> None:
    settings = config(condition=kind)
    generator, discriminator = Generator(settings, SYMBOLS), Discriminator(settings, SYMBOLS)
    said = condition_of(kind)
    torch.autograd.backward(discriminator(generator(noise(4), said), said).sum())
    for network in (generator, discriminator):
        for name, parameter in network.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all(), name
