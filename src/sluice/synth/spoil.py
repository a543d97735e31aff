"""Spoiling on purpose: what each defect does to pixels, bytes and captions."""

from __future__ import annotations

import io
from typing import Final

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont, ImageOps

from sluice.synth.scene import LANGUAGES

PHRASES: Final = (
    "Image", "Photo", "Picture", "Stock photo", "Click to enlarge", "Image of product", "Untitled", "No description",
    "Image may contain: outdoor", "Photo by author", "Thumbnail", "Click here for a larger image",
)  # fmt: skip
REPEATED: Final = "Order this picture as a poster, canvas or greeting card in our online shop, with free delivery."
LICENCES: Final = (
    "CC BY 4.0", "CC-BY-4.0", "Creative Commons Attribution 2.0", "https://creativecommons.org/licenses/by/4.0/",
    "CC BY-SA 4.0", "https://creativecommons.org/licenses/by-sa/3.0/", "CC0 1.0", "CC0",
    "https://creativecommons.org/publicdomain/zero/1.0/",
)  # fmt: skip
FORBIDDEN: Final = {
    "non-commercial": ("CC BY-NC 4.0", "https://creativecommons.org/licenses/by-nc/2.0/", "CC BY-NC-SA 4.0"),
    "no derivatives": ("CC BY-ND 4.0", "https://creativecommons.org/licenses/by-nd/2.0/"),
    "non-commercial, no derivatives": ("CC BY-NC-ND 4.0", "https://creativecommons.org/licenses/by-nc-nd/3.0/"),
}
_ORIENTED: Final = {  # how stored pixels are made from upright ones, so that the EXIF tag turns them back
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
_EXIF_ORIENTATION: Final = 0x0112


def blurred(image: Image.Image, detail: str, rng: np.random.Generator) -> Image.Image:
    """Out of focus, or shaken: a longer blur along one axis than along the other. Sensor noise stays."""
    short = min(image.size)
    if detail == "shake":
        reach = short * rng.uniform(0.025, 0.05)
        axes = (reach, reach * 0.4) if rng.random() < 0.5 else (reach * 0.4, reach)
        soft = image.filter(ImageFilter.BoxBlur(axes)).filter(ImageFilter.GaussianBlur(short * 0.004))
    else:
        soft = image.filter(ImageFilter.GaussianBlur(short * rng.uniform(0.013, 0.03)))
    return _noisy(soft, 1.2, rng)


def darkened(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Underexposed by three to five stops."""
    gain = float(rng.uniform(0.035, 0.11))
    return _noisy(image.point([value * gain for value in range(256)] * 3), 1.0, rng)


def thumbnail(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Its shorter side 18 to 54 px."""
    scale = int(rng.integers(18, 55)) / min(image.size)
    return image.resize(
        (max(1, round(image.width * scale)), max(1, round(image.height * scale))), Image.Resampling.LANCZOS
    )


def near_duplicate(image: Image.Image, detail: str, rng: np.random.Generator) -> Image.Image:
    """The picture as someone else passed it on; `recompressed` is left to `encode`."""
    if detail == "resized":
        scale = rng.uniform(0.55, 0.85)
        return image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.LANCZOS)
    if detail == "cropped":
        cut = rng.uniform(0.004, 0.016, 4) * (image.width, image.height, image.width, image.height)
        return image.crop((round(cut[0]), round(cut[1]), round(image.width - cut[2]), round(image.height - cut[3])))
    if detail == "watermarked":
        size = max(12, min(image.size) // 14)
        layer = Image.new("RGBA", image.size)
        spot = image.width - size * 0.6, image.height - size * 0.6
        ImageDraw.Draw(layer).text(
            spot, "© sample studio", (255, 255, 255, 165), ImageFont.load_default(size), anchor="rb"
        )
        return Image.alpha_composite(image.convert("RGBA"), layer).convert("RGB")
    return image


def rotated(image: Image.Image, orientation: int) -> tuple[Image.Image, bytes]:
    """The picture as a camera held sideways stores it, and the EXIF block that says so."""
    exif = Image.Exif()
    exif[_EXIF_ORIENTATION] = orientation
    return image.transpose(_ORIENTED[orientation]), exif.tobytes()


def upright(image: Image.Image) -> Image.Image:
    """The picture as a viewer shows it."""
    return ImageOps.exif_transpose(image)


def encode(image: Image.Image, form: str, quality: int, exif: bytes = b"") -> bytes:
    """The picture as a file in memory."""
    buffer = io.BytesIO()
    if form == "png":
        image.save(buffer, "PNG", compress_level=1)
    elif form == "webp":
        image.save(buffer, "WEBP", quality=quality, method=0)
    else:
        image.save(buffer, "JPEG", quality=quality, exif=exif)
    return buffer.getvalue()


def truncated(data: bytes, rng: np.random.Generator) -> bytes:
    """The first 25 to 90% of a file, as a broken download leaves it."""
    return data[: int(len(data) * rng.uniform(0.25, 0.9))]


def file_name(rng: np.random.Generator) -> str:
    """A caption that is only the name a camera, a phone or a website gave."""
    number = int(rng.integers(1, 9999))
    day = f"20{int(rng.integers(10, 26)):02d}{int(rng.integers(1, 13)):02d}{int(rng.integers(1, 29)):02d}"
    names = (
        f"IMG_{number:04d}.jpg", f"DSC{number:05d}.JPG", f"IMG-{day}-WA{number:04d}.jpg", f"P10{number:05d}.JPG",
        f"Screenshot_{day}-{number:06d}.png", f"image{number}.jpeg", f"DSC_{number:04d}", f"IMG_{number:04d}",
        f"photo-{day}-{number}.jpg", f"{number:06d}_large.webp",
    )  # fmt: skip
    return names[int(rng.integers(len(names)))]


def other_language(language: str, rng: np.random.Generator) -> str:
    """A language that it is not."""
    return str(rng.choice([code for code in LANGUAGES if code != language]))


def mojibake(text: str, detail: str) -> str:
    """UTF-8 read with the wrong code page.

    >>> mojibake("grüne Bälle", "utf-8 read as latin-1")
    'grÃ¼ne BÃ¤lle'
    """
    data = text.encode()
    if detail.endswith("cp1252"):
        try:
            return data.decode("cp1252")
        except UnicodeDecodeError:  # five bytes mean nothing in cp1252; software that does this falls back to latin-1
            pass
    return data.decode("latin-1")


def _noisy(image: Image.Image, spread: float, rng: np.random.Generator) -> Image.Image:
    pixels = np.asarray(image, dtype=np.float32)
    noise = rng.standard_normal(pixels.shape[:2], dtype=np.float32)[..., None] * np.float32(spread)
    return Image.fromarray(np.clip(pixels + noise, 0, 255).astype(np.uint8))
