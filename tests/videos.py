"""Small videos made in memory, for tests of what reads them."""

import io
from collections.abc import Sequence
from fractions import Fraction
from typing import cast

import av
import numpy as np
from av.video.stream import VideoStream
from PIL import Image

Pictures = Sequence[Image.Image]


def scene(seed: int, frames: int, size: tuple[int, int] = (96, 64)) -> list[Image.Image]:
    """One shot: coloured patches under a camera that moves a little, and noise."""
    random = np.random.default_rng(seed)
    patches = Image.fromarray(random.integers(0, 256, (4, 6, 3), np.uint8))
    wide = patches.resize((size[0] + frames, size[1]), Image.Resampling.BICUBIC)
    shot = []
    for step in range(frames):
        view = np.asarray(wide.crop((step, 0, step + size[0], size[1])), np.float32)
        noisy = view + random.normal(0, 8, view.shape)
        shot.append(Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)))
    return shot


def grey_steps(count: int, size: tuple[int, int] = (64, 48)) -> list[Image.Image]:
    """Pictures of one grey each, by which a frame's number can be read: see ``number_of``."""
    return [Image.new("RGB", size, (20 + 4 * i,) * 3) for i in range(count)]


def number_of(picture: Image.Image) -> int:
    """Which of ``grey_steps`` it is, after lossy coding too."""
    return round((float(np.asarray(picture).mean()) - 20) / 4)


def animation(pictures: Pictures, kind: str = "GIF", ms: int | list[int] = 100) -> bytes:
    """An animated file; ``ms`` is how long every frame, or each, is shown."""
    stream = io.BytesIO()
    options = {"lossless": True} if kind == "WEBP" else {}
    pictures[0].save(
        stream, kind, save_all=True, append_images=pictures[1:], duration=ms, loop=0, **options
    )
    return stream.getvalue()


def movie(
    pictures: Pictures,
    rate: int = 10,
    codec: str = "libx264",
    *,
    options: dict[str, str] | None = None,
    turned: int = 0,
    pixel_shape: Fraction | None = None,
    container: dict[str, str] | None = None,
) -> bytes:
    """An MP4 file of ``rate`` frames a second."""
    stream = io.BytesIO()
    with av.open(stream, "w", format="mp4", options=container) as file:
        track = cast(VideoStream, file.add_stream(codec, rate=rate, options=options or {"g": "10"}))
        track.bit_rate = 2_000_000
        track.width, track.height = pictures[0].size
        track.pix_fmt = "yuv420p" if codec != "mjpeg" else "yuvj420p"
        if pixel_shape is not None:
            track.codec_context.sample_aspect_ratio = pixel_shape
        if turned:
            track.set_display_rotation(turned)
        for number, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(np.asarray(picture.convert("RGB")), "rgb24")
            frame.pts = number
            file.mux(track.encode(frame))
        file.mux(track.encode())
    return stream.getvalue()


def example_animation() -> bytes:
    """A GIF of 3 s: three scenes of a second each."""
    return animation([p for seed in (0, 1, 2) for p in scene(seed, 5)], ms=200)


def example_movie() -> bytes:
    """An MP4 of 3 s: the same three scenes."""
    return movie([p for seed in (0, 1, 2) for p in scene(seed, 10)])
