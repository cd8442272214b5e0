"""One image file to pixels: decoded, cropped, resized. Functions of their arguments alone, for any process to run."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

Pixels = npt.NDArray[np.uint8]
Box = tuple[float, float, float, float]  #: Left, upper, right and lower edge.

AREA = (0.08, 1.0)  #: Share of the image that a training crop covers.
ASPECT = (3 / 4, 4 / 3)  #: Its width over its height.
ATTEMPTS = 10
MARGIN = 256 / 224  #: Test images are resized so much wider than the crop that is taken from their middle.
DEEP = 65535  #: White of 16-bit grey.
UNREADABLE = (OSError, SyntaxError, ValueError, UnidentifiedImageError, Image.DecompressionBombError)


@dataclass(frozen=True)
class Request:
    """One image to decode; of a training image also where its random crop comes from."""

    path: Path
    label: int
    key: tuple[int, ...] | None = None  #: Numbers that decide crop and flip; None: the middle, as it is.


def decode_batch(requests: Sequence[Request], size: int, skip_broken: bool) -> tuple[Pixels, list[int]]:
    """Return the images, uint8[M, 3, size, size], and the places in `requests` of those that decoded.

    Raises:
        ValueError: an image does not decode, and such are not to be skipped.
    """
    images = np.empty((len(requests), 3, size, size), np.uint8)
    kept: list[int] = []
    for place, request in enumerate(requests):
        try:
            images[len(kept)] = decode(request, size).transpose(2, 0, 1)
        except UNREADABLE as error:
            if not skip_broken:
                raise ValueError(f"{request.path} does not decode: {error}") from error
        else:
            kept.append(place)
    return images[: len(kept)], kept


def decode(request: Request, size: int) -> Pixels:
    """Return one image, uint8[size, size, 3].

    JPEGs are decoded at 1/2, 1/4 or 1/8 of their size where that still has the pixels asked for.

    Raises:
        ValueError: the image is grey, and its values are no integers of 16 bits or fewer.
        OSError: it does not decode.
    """
    with Image.open(request.path) as image:
        width, height = image.size
        rng = None if request.key is None else np.random.default_rng(request.key)
        box = middle(width, height) if rng is None else random_box(width, height, rng)
        scale = size / max(box[2] - box[0], box[3] - box[1])
        image.draft("RGB", (math.ceil(width * scale), math.ceil(height * scale)))
        across, down = image.size[0] / width, image.size[1] / height
        box = (box[0] * across, box[1] * down, box[2] * across, box[3] * down)
        colour = image if image.mode == "RGB" else eight_bits(image).convert("RGB")
        pixels = np.asarray(colour.resize((size, size), Image.Resampling.BILINEAR, box=box, reducing_gap=2.0))
    return pixels if rng is None or rng.random() < 0.5 else pixels[:, ::-1]


def eight_bits(image: Image.Image) -> Image.Image:
    """Return 16-bit grey (modes I;16 and I, which `convert` would clip) scaled to 0..255, rounded; others as they are.

    Raises:
        ValueError: the values are not of 16 bits.
    """
    if image.mode[0] not in "IF":
        return image
    grey = np.asarray(image)
    if image.mode == "F" or grey.min() < 0 or grey.max() > DEEP:
        raise ValueError(f"grey of mode {image.mode} must be integers in 0..{DEEP}, got {grey.min()}..{grey.max()}")
    return Image.fromarray(np.rint(grey * (255 / DEEP)).astype(np.uint8))


def middle(width: int, height: int) -> Box:
    """Return the square in the middle whose side is 224/256 of the shorter edge: resize and centre crop in one."""
    side = min(width, height) / MARGIN
    left, upper = (width - side) / 2, (height - side) / 2
    return left, upper, left + side, upper + side


def random_box(width: int, height: int, rng: np.random.Generator) -> Box:
    """Return a random crop as Szegedy et al., arXiv:1409.4842, train with: of random area and aspect ratio.

    The largest crop in the middle that has an allowed ratio, if ten random ones do not fit.
    """
    for _ in range(ATTEMPTS):
        area = width * height * rng.uniform(*AREA)
        ratio = math.exp(rng.uniform(math.log(ASPECT[0]), math.log(ASPECT[1])))
        across, down = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < across <= width and 0 < down <= height:
            left, upper = int(rng.integers(width - across + 1)), int(rng.integers(height - down + 1))
            return left, upper, left + across, upper + down
    across, down = min(width, round(height * ASPECT[1])), min(height, round(width / ASPECT[0]))
    left, upper = (width - across) // 2, (height - down) // 2
    return left, upper, left + across, upper + down
