"""Fetch the emoji sets mini is trained on and draw them as OUT/STYLE/NOUN[-k].png with alpha.

    python training/pictograms.py OUT [--size 256] [--styles noto twemoji ...]
    python training/pictograms.py OUT --styles icons         # sets of one colour, as lines on white or as silhouettes

Needs `npm` (only to download) and `pip install cairosvg` with the cairo library. The drawings are never
committed; their licences stand in STYLES and in NOTICE.
"""

import argparse
import io
import json
import re
import subprocess
import tarfile
import tempfile
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.ndimage import binary_fill_holes

# style: (npm package, licence of the drawings)
STYLES = {
    "noto": ("@iconify-json/noto@1.2.9", "Apache-2.0, Google"),
    "noto-v1": ("@iconify-json/noto-v1@1.2.5", "Apache-2.0, Google"),
    "twemoji": ("@iconify-json/twemoji@1.2.5", "CC-BY-4.0, Twitter and contributors"),
    "fluent": ("@iconify-json/fluent-emoji-flat@1.2.6", "MIT, Microsoft"),
    "fxemoji": ("@iconify-json/fxemoji@1.2.2", "Apache-2.0, Mozilla"),
    "emojione": ("@iconify-json/emojione@1.2.3", "CC-BY-4.0, EmojiOne"),
    "fluent-colour": ("@iconify-json/fluent-emoji@1.2.7", "MIT, Microsoft"),
    "streamline": ("@iconify-json/streamline-emojis@1.2.4", "CC-BY-4.0, Streamline"),
}
# Icons of one colour: shapes that no emoji set has. CLIP is trained on them too, nothing is measured on them.
ICONS = {
    "icon-park": ("@iconify-json/icon-park@1.2.4", "Apache-2.0, ByteDance"),
    "game-icons": ("@iconify-json/game-icons@1.2.4", "CC-BY-3.0, game-icons.net"),
    "mdi": ("@iconify-json/mdi@1.2.3", "Apache-2.0, Pictogrammers"),
    "mingcute": ("@iconify-json/mingcute@1.2.8", "Apache-2.0, MingCute Design"),
    "ph": ("@iconify-json/ph@1.2.2", "MIT, Phosphor Icons"),
    "tabler": ("@iconify-json/tabler@1.2.41", "MIT, Paweł Kuna"),
    "lucide": ("@iconify-json/lucide@1.2.137", "ISC, Lucide Contributors"),
    "hugeicons": ("@iconify-json/hugeicons@1.2.35", "MIT, Hugeicons"),
    "fa6-solid": ("@iconify-json/fa6-solid@1.2.4", "CC-BY-4.0, Dave Gandy"),
    "fluent-emoji-high-contrast": ("@iconify-json/fluent-emoji-high-contrast@1.2.6", "MIT, Microsoft"),
    "emojione-monotone": ("@iconify-json/emojione-monotone@1.2.1", "CC-BY-4.0, EmojiOne"),
}
_LOGOS = {("mdi", "apple"), ("hugeicons", "apple")}  # a company's, not the fruit
# Held out: fetched to measure on a style never trained on.
UNSEEN = {"openmoji": ("@iconify-json/openmoji@1.2.29", "CC-BY-SA-4.0, OpenMoji")}

EMOJI = {
    "airplane": "✈🛩", "apple": "🍎🍏", "ball": "⚽🏐", "balloon": "🎈", "banana": "🍌", "basketball": "🏀",
    "bear": "🐻", "bed": "🛏", "bee": "🐝", "bicycle": "🚲", "bird": "🐦", "boat": "⛵🚤", "book": "📕📗",
    "bottle": "🍾🍼", "bread": "🍞", "broccoli": "🥦", "burger": "🍔", "bus": "🚌", "butterfly": "🦋", "cactus": "🌵",
    "cake": "🎂🍰", "camera": "📷📸", "candle": "🕯", "car": "🚗🚙", "carrot": "🥕", "cat": "🐈🐱", "chair": "🪑",
    "cherry": "🍒", "chicken": "🐔🐓", "clock": "🕰⏰", "cookie": "🍪", "corn": "🌽", "cow": "🐄🐮", "crown": "👑",
    "cup": "☕🍵", "dog": "🐕🐶", "donut": "🍩", "dress": "👗", "drum": "🥁", "duck": "🦆", "egg": "🥚", "elephant": "🐘",  # noqa: E501
    "fish": "🐟🐠", "flower": "🌻🌸", "frog": "🐸", "gift": "🎁", "glasses": "👓", "grapes": "🍇", "guitar": "🎸",
    "hammer": "🔨", "hat": "🎩👒", "heart": "❤", "helicopter": "🚁", "horse": "🐎🐴", "house": "🏠🏡", "key": "🔑🗝",
    "laptop": "💻", "lemon": "🍋", "lion": "🦁", "monkey": "🐒🐵", "moon": "🌙", "mushroom": "🍄", "pencil": "✏",
    "penguin": "🐧", "phone": "📱☎", "piano": "🎹", "pig": "🐖🐷", "pineapple": "🍍", "pizza": "🍕", "rabbit": "🐇🐰",
    "ring": "💍", "rocket": "🚀", "scissors": "✂", "sheep": "🐑", "shirt": "👕", "shoe": "👟👞", "snake": "🐍",
    "spider": "🕷", "spoon": "🥄", "star": "⭐", "strawberry": "🍓", "sun": "☀🌞", "tiger": "🐅🐯", "tractor": "🚜",
    "train": "🚂🚆", "tree": "🌳🌲", "truck": "🚚🚛", "trumpet": "🎺", "turtle": "🐢", "umbrella": "☂☔", "whale": "🐋🐳",  # noqa: E501
}


def fetch(package: str, folder: Path) -> tuple[dict, dict]:
    """The icon set and its map from code points to icon names (empty in some sets)."""
    name = subprocess.run(
        ["npm", "pack", "--silent", package], cwd=folder, check=True, capture_output=True, text=True
    ).stdout.split()[-1]
    with tarfile.open(folder / name) as archive:
        held = {name: f"package/{name}.json" in archive.getnames() for name in ("icons", "chars")}
        icons, codes = (json.load(archive.extractfile(f"package/{name}.json")) if there else {}
                        for name, there in held.items())
    return icons, codes


def find(character: str, icons: dict, codes: dict, names: dict) -> str | None:
    """The icon of one emoji: by code point, else by its Unicode name or Noto's name for it."""
    code = f"{ord(character):x}"
    for key in (code, f"{code}-fe0f"):
        if key in codes:
            return codes[key]
    plain = {name.replace("-", ""): name for name in [*icons.get("aliases", {}), *icons["icons"]]}
    for name in (unicodedata.name(character).lower().replace(" ", ""), names.get(code, names.get(f"{code}-fe0f"))):
        if name and name.replace("-", "") in plain:
            return plain[name.replace("-", "")]
    return None


def draw(icons: dict, name: str, size: int) -> Image.Image:
    import cairosvg

    while name in icons.get("aliases", {}):
        name = icons["aliases"][name]["parent"]
    icon = icons["icons"][name]
    width, height = (icon.get(key, icons.get(key, 16)) for key in ("width", "height"))
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'viewBox="{icon.get("left", 0)} {icon.get("top", 0)} {width} {height}">{icon["body"]}</svg>'
    )
    return Image.open(io.BytesIO(cairosvg.svg2png(svg.encode(), output_width=size, output_height=size)))


def named(noun: str, icons: dict) -> list[str]:
    """At most two icons called by a noun: the one of that name alone, and one in another form."""
    names = sorted({*icons["icons"], *icons.get("aliases", {})})
    forms = [name for name in names if re.fullmatch(rf"{noun}-(face|head|fill|filled|line|solid|duotone)", name)]
    return [name for name in (noun,) if name in names] + forms[:1]


def filled(drawing: Image.Image) -> Image.Image | None:
    """An icon of one colour on transparent ground: lines become black on white, what is solid becomes gray."""
    ink = np.asarray(drawing)[..., 3] > 100
    whole = binary_fill_holes(ink)
    if whole.sum() < 200:
        return None
    inside = whole & ~ink
    lines = inside.sum() > 0.15 * whole.sum()
    pixels = np.zeros((*ink.shape, 4), np.uint8)
    pixels[ink] = (25, 25, 25, 255) if lines else (120, 120, 120, 255)
    pixels[inside] = (255, 255, 255, 255) if lines else (235, 235, 235, 255)
    return Image.fromarray(pixels)


def drawings(style: str, noun: str, icons: dict, codes: dict, names: dict, size: int) -> Iterator[Image.Image]:
    """What a set has for a noun, RGBA, cut to what is drawn."""
    if (style, noun) in _LOGOS:
        return
    found = [find(character, icons, codes, names) for character in EMOJI[noun]] if codes else named(noun, icons)
    for name in filter(None, found):
        try:
            drawing = draw(icons, name, size).convert("RGBA")
        except MemoryError:  # how cairo fails at a few drawings' gradients
            continue
        shown = filled(drawing) if style in ICONS else drawing
        box = shown and shown.getchannel("A").point(lambda a: 255 * (a > 24)).getbbox()
        if shown and box:
            yield shown.crop(box)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--styles", nargs="+", default=list(STYLES), choices=[*STYLES, "icons", *UNSEEN])
    options = parser.parse_args()
    styles = [each for style in options.styles for each in (ICONS if style == "icons" else [style])]
    with tempfile.TemporaryDirectory() as temporary:
        _, names = fetch(STYLES["noto"][0], Path(temporary))
        for style in styles:
            icons, codes = fetch((STYLES | ICONS | UNSEEN)[style][0], Path(temporary))
            folder = options.out / style
            folder.mkdir(parents=True, exist_ok=True)
            missing = []
            for noun in EMOJI:
                drawn = 0
                for drawn, drawing in enumerate(drawings(style, noun, icons, codes, names, options.size), 1):
                    drawing.save(folder / (f"{noun}.png" if drawn == 1 else f"{noun}-{drawn}.png"))
                if not drawn:
                    missing.append(noun)
            print(f"{style}: {len(list(folder.iterdir()))} drawings; not in the set: {', '.join(missing) or 'none'}")


if __name__ == "__main__":
    main()
