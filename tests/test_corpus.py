"""Reading text: where it comes from, how it becomes symbols and parts, and what is said of text that cannot be used."""

import hashlib
import os
import shutil
from functools import partial

import pytest
from data_sets import arrays, write_tfds, write_tfds_rows
from hypothesis import given, settings
from hypothesis import strategies as st
from refusals import refused

from jaxnas.tasks import corpus

PARTS = "train", "validation", "test"
PTB = {"ptb.train.txt": " no it was n't\n", "ptb.valid.txt": " a <unk> N\n", "ptb.test.txt": " black monday\n"}


def read(source, part="train", unit="characters", validation=0.1, test=0.1, tfds_dir=None):
    return corpus.read(str(source), unit, part, validation, test, None if tfds_dir is None else str(tfds_dir))


def write(folder, files: dict):
    """The folder, with these files in it."""
    for name, text in files.items():
        (folder / name).write_bytes(text.encode())
    return folder


def lost(folder, name: str):
    """A file that is there, but fails whoever opens it (file permissions would not stop root)."""
    os.symlink("nowhere", folder / name)
    return folder


# The text that comes with jaxnas


def test_the_embedded_text_is_the_one_that_is_described():
    text = "".join(read("shakespeare", part) for part in PARTS)
    assert (len(text), len(text.encode()), len(set(text))) == (299_868, 299_868, 62)
    assert hashlib.md5(text.encode()).hexdigest() == "388df1779f3b6bd07f25a8a38575e34e"
    assert text.startswith("First Citizen:\nBefore we proceed any further, hear me speak.\n\nAll:\n")
    assert "\n\nGLOUCESTER:\nNow is the winter of our discontent\n" in text
    assert text.endswith("\n\nDERBY:\nWhat men of name resort to him?\n")
    for number in ("299,868 characters", "62 different"):
        assert number in corpus.__doc__


# One text, cut by position


@settings(deadline=None, derandomize=True)
@given(st.integers(3, 500), st.sampled_from([0.0, 0.05, 0.2, 1 / 3]), st.sampled_from([0.0, 0.05, 0.2, 1 / 3]))
def test_the_parts_are_the_text_in_order_and_as_long_as_their_shares(tmp_path_factory, length, validation, test):
    text = ("the quick brown fox " * 30)[:length]
    source = write(tmp_path_factory.mktemp("text"), {"a.txt": text}) / "a.txt"
    shares = {"validation": validation, "test": test}
    if any(share > 0 and round(share * length) == 0 for share in shares.values()):
        refused(lambda: read(source, **shares), f"{length} characters", "leave none for", "longer text")
        return
    there = [part for part in PARTS if shares.get(part, 1) > 0]
    parts = [read(source, part, **shares) for part in there]
    assert "".join(parts) == text
    for part, symbols in list(zip(there, parts, strict=True))[1:]:
        assert len(symbols) == round(shares[part] * length)


def test_nothing_of_the_test_part_changes_what_a_search_reads(tmp_path):
    """Whatever the shares of validation: the test is the last share of the text."""
    text = "".join(map(chr, range(0x4E00, 0x4E00 + 1000)))  # all different
    other = text[:800] + "x" * 200
    write(tmp_path, {"a.txt": text, "b.txt": other})
    for validation in (0.1, 0.5):
        shares = {"validation": validation, "test": 0.2}
        assert read(tmp_path / "a.txt", "test", **shares) == text[800:]
        for part in ("train", "validation"):
            assert read(tmp_path / "a.txt", part, **shares) == read(tmp_path / "b.txt", part, **shares)


def test_words_are_cut_between_words(tmp_path):
    source = write(tmp_path, {"a.txt": "one two three\nfour five six\nseven\n"}) / "a.txt"
    parts = [read(source, part, "words", validation=0.3, test=0.2) for part in PARTS]
    assert parts == [["one", "two", "three", "<eos>", "four"], ["five", "six", "<eos>"], ["seven", "<eos>"]]


def test_shares_that_leave_a_part_empty_are_refused(tmp_path):
    source = write(tmp_path, {"a.txt": "abcdefghij"}) / "a.txt"
    refused(lambda: read(source, validation=0.01), "10 characters", "validation=0.01", "none for validation")
    refused(lambda: read(source, test=0.01), "test=0.01", "none for test", "change the shares")
    refused(lambda: read(source, "test", test=0.0), "test=0.0", "none for test")
    refused(lambda: read(source, validation=0.5, test=0.49), "none for train")
    refused(lambda: read(source, validation=0.5, test=0.5), "validation=0.5 and test=0.5", "less than 1 in all")
    refused(lambda: read(source, validation=-0.1), "validation=-0.1", "from 0 to less than 1")
    refused(lambda: read(source, test=float("nan")), "test=nan", "from 0 to less than 1")


# Symbols


def test_characters_are_as_they_are_but_for_the_ends_of_lines(tmp_path):
    raw = "\ufeff\tél\r\n\n Ω\r𝄞\u2028 ".encode()
    (tmp_path / "a").write_bytes(raw)
    assert read(tmp_path / "a", validation=0.0, test=0.0) == "\tél\n\n Ω\r𝄞\u2028 "


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (" no it was n't \n the <unk> N \n", "no it was n't <eos> the <unk> N <eos>"),  # as PTB has it
        ("a\n\n\nb", "a <eos> <eos> <eos> b <eos>"),  # an empty line is a line, and so is the last
        ("a\tb  c\r\nd\r\n", "a b c <eos> d <eos>"),
        ("\n", "<eos>"),
        ("a b <eos>\nc <eos>\n", "a b <eos> c <eos>"),  # once where it stands there already
        ("a b <eos> \r\nc <eos>", "a b <eos> c <eos>"),
        ("a b\n<eos> c\n<eos>\n d", "a b <eos> c <eos> <eos> d <eos>"),
        ("a <eos> b <eos>", "a <eos> b <eos>"),  # a text without lines, or with several in one
        ("a <eos>\n\n<eos>\n", "a <eos> <eos> <eos>"),
        ("a\fb\u2028c\x85d\v\ne", "a b c d <eos> e <eos>"),  # white space all of them, but no ends of lines
        ("\ufeffa <unk>\n", "a <unk> <eos>"),
    ],
)
def test_every_line_of_words_ends_with_eos(tmp_path, text, words):
    write(tmp_path, {"a.txt": text})
    assert read(tmp_path / "a.txt", unit="words", validation=0.0, test=0.0) == words.split()


# Folders


def test_each_part_of_a_folder_has_its_file_whatever_the_shares(tmp_path):
    write(tmp_path, PTB)
    for part, text in zip(PARTS, PTB.values(), strict=True):
        assert read(tmp_path, part) == text
        assert read(tmp_path, part, "words", validation=0.0, test=0.5) == [*text.split(), "<eos>"]


@pytest.mark.parametrize(
    "names",
    [
        ["wiki.train.tokens", "wiki.valid.tokens", "wiki.test.tokens"],
        ["ptb.char.train.txt", "ptb.char.valid.txt", "ptb.char.test.txt"],
        ["train", "validation", "test"],
        ["text-TRAIN.TXT", "text-Val.TXT", "text-TEST.TXT"],
        ["a.train", "a.valid", "a.test"],
    ],
)
def test_files_are_known_by_the_words_of_their_names(tmp_path, names):
    write(tmp_path, dict(zip(names, PARTS, strict=True)))
    write(tmp_path, {"README": "r", ".train.txt": "r", "latest.txt": "r", "train.csv": "r", "train-and-test.txt": "r"})
    (tmp_path / "train.d").mkdir()
    for part in PARTS:
        assert read(tmp_path, part) == part


def test_the_folder_in_which_the_penn_treebank_comes_gives_its_text_of_words(tmp_path):
    """It has the same text with blanks between the characters beside it."""
    write(tmp_path, PTB | {name.replace("ptb", "ptb.char"): "a _ b\n" for name in PTB} | {"README": "r"})
    assert [read(tmp_path, part) for part in PARTS] == list(PTB.values())


def test_the_test_file_of_a_folder_is_opened_by_a_final_training_alone(tmp_path):
    write(tmp_path, {name: text for name, text in PTB.items() if "test" not in name})
    assert [read(tmp_path, part) for part in PARTS[:2]] == list(PTB.values())[:2]
    refused(lambda: read(tmp_path, "test"), "one text file for test is needed")
    lost(tmp_path, "ptb.test.txt")
    assert [read(tmp_path, part) for part in PARTS[:2]] == list(PTB.values())[:2]
    refused(lambda: read(tmp_path, "test"), "ptb.test.txt: cannot be read (No such file")


def test_folders_without_one_file_for_a_part_are_refused(tmp_path):
    (tmp_path / "valid").mkdir()
    refused(lambda: read(tmp_path, "validation"), f"{tmp_path}: found ['valid/']", "with valid or", "ptb.valid.txt")
    write(tmp_path, {"a.train.txt": "a", "b.train.txt": "b"})
    refused(lambda: read(tmp_path), "found ['a.train.txt', 'b.train.txt']", "exactly one text file for train")
    write(tmp_path, {f"{i}.csv": "c" for i in range(20)})
    refused(lambda: read(tmp_path, "test"), "'0.csv'", "and more", "exactly one text file for test", "ptb.test.txt")


# What cannot be read


def test_a_path_to_nothing_is_refused(tmp_path):
    needed = "a text file", "a folder", "tfds:NAME", "'shakespeare'"
    refused(lambda: read(tmp_path / "none.txt"), f"no text at '{tmp_path / 'none.txt'}'", *needed)
    refused(lambda: read("x" * 5000), "no text at 'xxx", *needed)
    refused(lambda: read(""), "no text at ''", *needed)


def test_the_users_home_is_found_and_a_file_may_be_called_like_the_embedded_text(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(write(tmp_path, {"shakespeare": "Ham"})))
    monkeypatch.chdir(tmp_path)
    assert read("~/shakespeare", validation=0.0, test=0.0) == "Ham"
    assert read("./shakespeare", validation=0.0, test=0.0) == "Ham"
    assert len(read("shakespeare", validation=0.0, test=0.0)) == 299_868


@pytest.mark.parametrize("text", ["", "\ufeff"])
def test_empty_text_is_refused(tmp_path, text):
    write(tmp_path, {"train.txt": text})
    for source in (tmp_path, tmp_path / "train.txt"):
        refused(lambda source=source: read(source), f"{tmp_path / 'train.txt'}: the text is empty")


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        ("naïve".encode("latin-1"), "byte 0xef at offset 2 is not UTF-8"),
        ("text".encode("utf-16"), "byte 0xff at offset 0 is not UTF-8"),
        ("né".encode()[:-1], "byte 0xc3 at offset 1 is not UTF-8"),
    ],
)
def test_bytes_that_are_no_utf_8_are_refused(tmp_path, raw, words):
    (tmp_path / "train.txt").write_bytes(raw)
    for source in (tmp_path, tmp_path / "train.txt"):
        refused(lambda source=source: read(source), f"{tmp_path / 'train.txt'}: {words}", "convert", "iconv")


@pytest.mark.skipif(os.geteuid() == 0, reason="file permissions do not stop root")
def test_text_without_permission_is_refused(tmp_path):
    (write(tmp_path, {"train.txt": "text"}) / "train.txt").chmod(0)
    for source in (tmp_path, tmp_path / "train.txt"):
        refused(lambda source=source: read(source), "train.txt: cannot be read (Permission denied)")
    tmp_path.chmod(0)
    refused(lambda: read(tmp_path), f"{tmp_path}: cannot be read (Permission denied)")
    tmp_path.chmod(0o700)


# TensorFlow Datasets


@pytest.fixture(scope="module")
def toys(tmp_path_factory):
    """A folder of sets: one of three splits, one without validation, one of training data alone."""
    for package in ("tensorflow_datasets", "array_record"):
        pytest.importorskip(package, reason=f"{package} is not installed")
    from tensorflow_datasets import features

    folder, text = tmp_path_factory.mktemp("tfds"), {"text": features.Text()}
    train = [f"row {i}" for i in range(1030)]
    two = {"train": [[*train]], "test": [["the", "tést"]]}
    for name, splits in {"Three": two | {"validation": [["val"]]}, "Two": two, "One": {"train": [train]}}.items():
        write_tfds_rows(folder, f"{name}Texts", splits, text, in_order=True)
    return folder


def test_the_splits_of_a_set_are_its_parts(toys):
    rows = "\n".join(f"row {i}" for i in range(1030))
    assert [read("tfds:three_texts", part, tfds_dir=toys) for part in PARTS] == [rows, "val", "the\ntést"]


def test_what_a_set_lacks_is_cut_from_the_end_of_its_training_data(toys):
    everything = read("tfds:three_texts", unit="words", tfds_dir=toys)
    assert len(everything) == 3 * 1030
    shares = {"unit": "words", "validation": 0.1, "test": 0.2, "tfds_dir": toys}
    assert [read("tfds:two_texts", part, **shares) for part in PARTS] == [
        everything[:2781],
        everything[2781:],
        ["the", "<eos>", "tést", "<eos>"],
    ]
    assert [read("tfds:one_texts", part, **shares) for part in PARTS] == [
        everything[:2163],
        everything[2163:2472],
        everything[2472:],
    ]


def test_a_search_does_not_open_the_test_split(toys, tmp_path):
    shutil.copytree(toys, tmp_path, dirs_exist_ok=True)
    for name in ("two", "three"):
        next((tmp_path / f"{name}_texts" / "1.0.0").glob("*-test.array_record*")).unlink()
        assert len(read(f"tfds:{name}_texts", tfds_dir=tmp_path)) > 7000
        assert len(read(f"tfds:{name}_texts", "validation", tfds_dir=tmp_path)) > 2
        final = partial(read, f"tfds:{name}_texts", "test", tfds_dir=tmp_path)
        refused(final, "is damaged", "delete that folder")


def test_sets_that_hold_no_text_are_refused(toys, tmp_path):
    from tensorflow_datasets import features

    x = arrays(train=4, shape=(6, 5, 3))
    write_tfds(tmp_path, "NoTexts", {"train": (x["x_train"], x["y_train"])})
    write_tfds_rows(tmp_path, "ManyTexts", {"train": [[["a", "b"]]]}, {"text": features.Sequence(features.Text())})
    write_tfds_rows(tmp_path, "BytesTexts", {"train": [["ab", b"\xe9"]]}, {"text": features.Text()}, in_order=True)
    write_tfds_rows(tmp_path, "EmptyTexts", {"train": [[""]]}, {"text": features.Text()})
    write_tfds_rows(tmp_path, "TestTexts", {"test": [["a"]]}, {"text": features.Text()})
    refused(lambda: read("tfds:no_texts", tfds_dir=tmp_path), "features ['image', 'label']", "a 'text' is needed")
    refused(lambda: read("tfds:many_texts", tfds_dir=tmp_path), "one plain text a row is needed")
    refused(lambda: read("tfds:bytes_texts", tfds_dir=tmp_path), "tfds:bytes_texts (train): byte 0xe9 at offset 3")
    refused(lambda: read("tfds:empty_texts", tfds_dir=tmp_path), "tfds:empty_texts (train): the text is empty")
    refused(lambda: read("tfds:test_texts", tfds_dir=tmp_path), "splits ['test']: a 'train' split is needed")


def test_sets_that_are_not_there_are_refused(toys, tmp_path):
    known, prepare = "tfds:tiny_shakespeare is not prepared: there is no ", 'file_format="array_record"'
    refused(lambda: read("tfds:tiny_shakespeare", tfds_dir=tmp_path), known, str(tmp_path), prepare)
    refused(lambda: read("tfds:no_such_set", tfds_dir=tmp_path), "knows no such set", "catalog", prepare)
