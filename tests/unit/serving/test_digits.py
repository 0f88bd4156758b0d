import gzip
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageDraw, ImageFilter

from serving.digits import to_mnist_form

Grey = npt.NDArray[np.uint8]


def canvas(size: tuple[int, int] = (280, 280), pen: int = 24) -> Image.Image:
    """A seven in black on white, drawn with a round pen."""
    image = Image.new("L", size, 255)
    width, height = size
    corners = [(0.3, 0.25), (0.7, 0.25), (0.45, 0.8)]
    points = [(x * width, y * height) for x, y in corners]
    draw = ImageDraw.Draw(image)
    draw.line(points, fill=0, width=pen, joint="curve")
    for x, y in points:
        draw.ellipse([x - pen / 2, y - pen / 2, x + pen / 2, y + pen / 2], fill=0)
    return image


def form(image: Image.Image) -> Grey:
    return to_mnist_form(np.asarray(image))


def likeness(left: Grey, right: Grey) -> float:
    """Correlation of two results, 1 for equal shapes."""
    return float(np.corrcoef(left.ravel(), right.ravel())[0, 1])


def photo(seed: int, noise: float = 8.0) -> Image.Image:
    """The canvas as a phone sees it: grey paper, a slope of light, blur and noise."""
    random = np.random.default_rng(seed)
    ink = np.asarray(canvas().filter(ImageFilter.GaussianBlur(1.5)), np.float64) / 255
    rows, columns = np.mgrid[0:1:280j, 0:1:280j]
    light = 190 - 60 * rows - 30 * columns * columns
    picture = light * (0.35 + 0.65 * ink) + random.normal(0, noise, ink.shape)
    return Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8))


def test_to_mnist_form_fits_the_box_and_the_centre_of_mass() -> None:
    result = form(canvas())
    rows, columns = result.nonzero()
    assert max(np.ptp(rows), np.ptp(columns)) + 1 in (19, 20)
    assert abs(np.average(rows, weights=result[rows, columns]) - 14) <= 0.5
    assert abs(np.average(columns, weights=result[rows, columns]) - 14) <= 0.5
    assert (str(result.dtype), result.shape, result.max()) == ("uint8", (28, 28), 255)


def test_to_mnist_form_keeps_its_own_results() -> None:
    result = form(canvas())
    assert np.array_equal(to_mnist_form(result), result)


def test_to_mnist_form_inverts_when_a_picture_in_form_is_dark_on_light() -> None:
    result = form(canvas())
    assert np.array_equal(to_mnist_form(255 - result), result)


def test_to_mnist_form_does_not_change_its_argument() -> None:
    picture = np.asarray(canvas())
    before = picture.copy()
    to_mnist_form(picture)
    assert np.array_equal(picture, before)


def test_to_mnist_form_is_the_same_for_light_ink_on_dark() -> None:
    picture = np.asarray(canvas())
    assert np.array_equal(to_mnist_form(255 - picture), to_mnist_form(picture))


def test_to_mnist_form_does_not_depend_on_the_place() -> None:
    moved = Image.new("L", (500, 420), 255)
    moved.paste(canvas(), (200, 20))
    assert np.array_equal(form(moved), form(canvas()))


@pytest.mark.parametrize("factor", [0.4, 2.0, 4.0])
def test_to_mnist_form_hardly_depends_on_the_size(factor: float) -> None:
    side = round(280 * factor)
    scaled = canvas().resize((side, side), Image.Resampling.LANCZOS)
    assert likeness(form(scaled), form(canvas())) > 0.97


@pytest.mark.parametrize("seed", range(3))
def test_to_mnist_form_sees_through_uneven_light_and_noise(seed: int) -> None:
    assert likeness(form(photo(seed)), form(canvas())) > 0.95


def test_to_mnist_form_sees_through_a_shadow() -> None:
    lit = np.asarray(photo(0), np.float64)
    rows, columns = np.mgrid[:280, :280]
    lit[np.hypot(rows - 280, columns - 60) < 130] *= 0.7
    assert likeness(to_mnist_form(lit.astype(np.uint8)), form(canvas())) > 0.9


def test_to_mnist_form_leaves_out_the_table_beside_the_paper() -> None:
    taken = np.array(photo(0))
    taken[:, :24] = 50
    assert likeness(to_mnist_form(taken), form(canvas())) > 0.95


def test_to_mnist_form_drops_specks() -> None:
    specked = np.array(canvas())
    specked[np.random.default_rng(0).random(specked.shape) < 0.005] = 0
    # Not closer: a speck that touches a stroke widens the box by its one or two pixels.
    assert likeness(to_mnist_form(specked), form(canvas())) > 0.9


def test_to_mnist_form_keeps_a_detached_stroke() -> None:
    image = canvas()
    ImageDraw.Draw(image).rectangle([30, 120, 70, 140], fill=0)
    whole = form(image)
    assert likeness(whole, form(canvas())) < 0.9


def test_to_mnist_form_keeps_strokes_along_the_edge_of_a_tight_drawing() -> None:
    tight = canvas().crop((72, 58, 209, 237))
    assert likeness(form(tight), form(canvas())) > 0.97


def test_to_mnist_form_thickens_a_thin_pen() -> None:
    thin, usual = form(canvas(pen=3)), form(canvas(pen=24))
    assert 0.4 * usual.sum() < thin.sum() < usual.sum()


@pytest.mark.parametrize("level", [0, 100, 255])
@pytest.mark.parametrize("shape", [(1, 1), (28, 28), (90, 700)])
def test_to_mnist_form_is_zero_when_blank(level: int, shape: tuple[int, int]) -> None:
    assert not to_mnist_form(np.full(shape, level, np.uint8)).any()


def test_to_mnist_form_is_zero_when_only_noise_shows() -> None:
    noise = np.random.default_rng(0).normal(180, 3, (300, 300))
    assert not to_mnist_form(noise.astype(np.uint8)).any()


@pytest.mark.parametrize("seed", range(40))
def test_to_mnist_form_takes_any_picture(seed: int) -> None:
    random = np.random.default_rng(seed)
    shape = random.choice([1, 2, 3, 5, 8, 28, 29, 60], 2)
    picture = random.integers(0, 256, shape) * (random.random(shape) < random.random() ** 2)
    result = to_mnist_form(picture.astype(np.uint8))
    assert (str(result.dtype), result.shape) == ("uint8", (28, 28))


@pytest.mark.data
def test_to_mnist_form_leaves_the_test_images_of_mnist_as_they_are(data_dir: Path) -> None:
    raw = gzip.decompress((data_dir / "mnist" / "t10k-images-idx3-ubyte.gz").read_bytes())
    pictures = np.frombuffer(raw, np.uint8, offset=16).reshape(-1, 28, 28)
    changed = [i for i, x in enumerate(pictures) if not np.array_equal(to_mnist_form(x), x)]
    assert changed == []
