"""Reading text: one file, a folder of three, a TensorFlow Datasets set or the text that comes with jaxnas; as symbols.

``shakespeare.txt.gz`` is public-domain text: William Shakespeare, The Tragedy of Coriolanus, whole, then Richard III up
to act IV, scene 5, in the layout of Karpathy's char-rnn: speaker, colon, speech, blank line. It has 299,868 characters,
62 different ones.

Letters: M symbols.

References:
    Marcus, Santorini & Marcinkiewicz, Building a Large Annotated Corpus of English: The Penn Treebank, 1993
    (https://aclanthology.org/J93-2004): words and folders follow the form that Mikolov gave it for language models.
"""

import gzip
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, get_args

from jaxnas.tasks import tfds

Unit = Literal["characters", "words"]
Part = Literal["train", "validation", "test"]

SHAKESPEARE = "shakespeare"
EOS = "<eos>"
"""The word for the end of a line, as in the Penn Treebank."""
NAMES = {"train": ("train",), "validation": ("valid", "validation", "val"), "test": ("test",)}
"""What a file of each part is called: one of these words, between anything that is not a letter."""
ENDINGS = {"", ".txt", ".tokens", ".raw"} | {f".{word}" for words in NAMES.values() for word in words}


def read(
    source: str, unit: Unit, part: Part, validation: float, test: float, tfds_dir: str | None = None
) -> Sequence[str]:
    """The symbols of one part, ``[M]``: a str of characters, or a list of words.

    One text is cut by position: first the training symbols, then those of validation, at the end those of the test.
    So is the train split of a TensorFlow Datasets set that lacks one of the others. A part with a file or split of
    its own is read from there, and no other is opened.

    Args:
        source: "shakespeare", the text that comes with jaxnas; path of a text file (UTF-8), or of a folder with a file
            each whose names have the words train, valid and test (ptb.train.txt); ``tfds:NAME``, a set of texts.
        unit: "characters", as they are, but with "\\n" for "\\r\\n"; or "words" between white space, with "<eos>" after
            every line, an empty one too, once where it stands there already.
        part: what is read.
        validation: share of a text's symbols, where it must be cut.
        test: share of a text's symbols, where it must be cut; does not depend on ``validation``.
        tfds_dir: folder of TensorFlow Datasets; None: its default.

    Raises:
        ValueError: nothing there, not readable as UTF-8, of another form, or an empty part.
    """
    check_shares(validation, test)
    text, shares = _find(source, part, {"validation": validation, "test": test}, tfds_dir)
    symbols = split(text, unit)
    return _cut(symbols, part, shares, f"{source}: {len(symbols)} {unit}") if shares else symbols


def check_test(source: str, unit: Unit, validation: float, test: float, tfds_dir: str | None = None) -> None:
    """Raises ValueError where there are no two symbols for the part "test", or where `read` raises it.

    A file or split of that part's own is looked for, not read; of one text, which a search reads too, it is counted.
    """
    path = Path(os.path.expanduser(source))
    if source.startswith(tfds.PREFIX):
        own = "test" in tfds.splits(source.removeprefix(tfds.PREFIX), tfds_dir)
    elif own := source not in ("", SHAKESPEARE) and path.is_dir():
        with _naming():
            _member(path, "test")
    if own:
        return
    remedy = "keep a share of it for that (--task.test 0.1), or give a folder with a test file (ptb.test.txt)"
    if test == 0:
        raise ValueError(f"test=0 of {source} leaves no text that a final training is scored on: {remedy}")
    found = len(read(source, unit, "test", validation, test, tfds_dir))
    if found < 2:
        raise ValueError(f"test={test} of {source} is {found} symbol, and 2 are needed: {remedy}")


def check_shares(validation: float, test: float) -> None:
    """Raises ValueError unless a text that is cut by these shares leaves something to learn from."""
    for name, share in (("validation", validation), ("test", test)):
        if not 0 <= share < 1:
            raise ValueError(f"{name}={share}: give a share of the text from 0 to less than 1, such as 0.1")
    if validation + test >= 1:
        raise ValueError(
            f"validation={validation} and test={test} leave nothing to learn from: give less than 1 in all"
        )


def split(text: str, unit: Unit) -> Sequence[str]:
    """The symbols of a text, ``[M]``: its characters, or its words with "<eos>" after every line, the last one too.

    A second "<eos>" a line would be free of charge: one at a line's beginning or end is taken for the line's own.
    """
    if unit == "characters":
        return text
    if "\n" not in text:
        text = text.replace("\r", "\n")  # lines as the first Macintosh ended them
    return [word for line in text.removesuffix("\n").split("\n") for word in (*_bare(line.split()), EOS)]


def _bare(words: list[str]) -> list[str]:
    """Without "<eos>" at both ends."""
    kept = [place for place, word in enumerate(words) if word != EOS]
    return words[kept[0] : kept[-1] + 1] if kept else []


def _cut(symbols: Sequence[str], part: Part, shares: dict[str, float], where: str) -> Sequence[str]:
    """The part of a text that its shares give: what is left of them, then validation, at the end the test."""
    test = len(symbols) - round(shares.get("test", 0.0) * len(symbols))
    validation = test - round(shares.get("validation", 0.0) * len(symbols))
    places = {"train": (0, validation), "validation": (validation, test), "test": (test, len(symbols))}
    for name, (start, end) in places.items():
        if start == end and (name == part or shares.get(name, 0.0) > 0):
            given = " and ".join(f"{name}={share}" for name, share in shares.items())
            raise ValueError(
                f"{where}, of which {given} leave none for {name}: change the shares or take a longer text"
            )
    return symbols[slice(*places[part])]


def _find(source: str, part: Part, shares: dict[str, float], tfds_dir: str | None) -> tuple[str, dict[str, float]]:
    """A text, and the shares by which it must be cut; none where it is the part alone."""
    if source.startswith(tfds.PREFIX):
        return _tfds(source, part, shares, tfds_dir)
    if source == SHAKESPEARE:
        return shakespeare(), shares
    path = os.path.expanduser(source)  # no Path, for which "" is a folder
    with _naming():
        if os.path.isfile(path):
            return _decode(Path(path).read_bytes(), path), shares
        if os.path.isdir(path):
            file = _member(Path(path), part)
            return _decode(file.read_bytes(), str(file)), {}
    raise ValueError(
        f"no text at {source!r}: give the path of a text file, a folder with a text file each for train, valid "
        f"and test, tfds:NAME, or {SHAKESPEARE!r}"
    )


def shakespeare() -> str:
    """The text that comes with jaxnas."""
    return _decode(gzip.decompress(Path(__file__).with_name("shakespeare.txt.gz").read_bytes()), SHAKESPEARE)


@contextmanager
def _naming() -> Iterator[None]:
    """A file that fails whoever opens it is named."""
    try:
        yield
    except OSError as error:
        raise ValueError(
            f"{error.filename}: cannot be read ({error.strerror}): give a text file that you may read"
        ) from error


def _decode(raw: bytes, where: str) -> str:
    try:
        text = raw.decode("utf-8").removeprefix("\ufeff").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{where}: byte 0x{raw[error.start]:02x} at offset {error.start} is not UTF-8: convert the text to UTF-8, "
            "for example with iconv"
        ) from error
    if not text:
        raise ValueError(f"{where}: the text is empty: at least two different symbols are needed")
    return text


def _member(folder: Path, part: Part) -> Path:
    """The file of a part; none is opened. Where others fit, those that are called "char" are left aside."""
    found = sorted(folder.iterdir())
    fitting = [path for path in found if _parts(path) == {part}]
    chosen = [path for path in fitting if "char" not in _words(path)] or fitting
    if len(chosen) == 1:
        return chosen[0]
    names = [path.name + "/" * path.is_dir() for path in (chosen or found)]
    raise ValueError(
        f"{folder}: found {names[:12]}{' and more' if len(names) > 12 else ''}: exactly one text file for {part} is "
        f"needed, with {' or '.join(NAMES[part])} in its name, such as ptb.{NAMES[part][0]}.txt"
    )


def _parts(path: Path) -> set[str]:
    """The parts that a file's name stands for."""
    if path.name.startswith(".") or path.suffix.lower() not in ENDINGS or path.is_dir():
        return set()
    return {part for part in get_args(Part) if _words(path).intersection(NAMES[part])}


def _words(path: Path) -> set[str]:
    return set(re.split("[^a-z]+", path.name.lower()))


def _tfds(source: str, part: Part, shares: dict[str, float], tfds_dir: str | None) -> tuple[str, dict[str, float]]:
    name = source.removeprefix(tfds.PREFIX)
    there = tfds.splits(name, tfds_dir)
    chosen = part if part in there else "train"
    text = _decode(tfds.read_text(name, chosen, tfds_dir), f"{source} ({chosen})")
    lacking = {other: share for other, share in shares.items() if other not in there}
    return text, lacking if chosen == "train" else {}
