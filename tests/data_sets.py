"""Small labelled image sets, written to disk in the forms that jaxnas reads."""

import gzip
import io
import pathlib
import zipfile

import numpy as np

NAMES = "x_train", "y_train", "x_test", "y_test"
IDX = "train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"


def arrays(train=40, test=12, shape=(6, 5), classes=4, seed=0) -> dict[str, np.ndarray]:
    """Noise and labels 0, 1, ..., by the names of Keras's layout."""
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 256, (train + test, *shape), np.uint8)
    y = (np.arange(train + test) % classes).astype(np.uint8)
    return dict(zip(NAMES, (x[:train], y[:train], x[train:], y[train:]), strict=True))


def write_npz(path, **changes) -> str:
    """The arrays above; those given replace them, and None leaves one out."""
    chosen = {name: value for name, value in (arrays() | changes).items() if value is not None}
    np.savez_compressed(path, **chosen)
    return str(path)


def rows(*sets) -> list[bytes]:
    """Image and label of every example as bytes, in an order that depends on nothing else."""
    return sorted(
        image.tobytes() + bytes([label]) for s in sets for image, label in zip(s.images, s.labels, strict=True)
    )


def corrupt_member(path, member: str):
    """Changes the stored bytes of one member of a zip archive, and nothing else."""
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo(member)
    raw = bytearray(pathlib.Path(path).read_bytes())
    middle = info.header_offset + 30 + len(member) + info.compress_size // 2
    raw[middle : middle + 8] = bytes(byte ^ 0xFF for byte in raw[middle : middle + 8])
    pathlib.Path(path).write_bytes(raw)


def idx_bytes(array: np.ndarray) -> bytes:
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    return bytes([0, 0, 8, array.ndim]) + sizes + array.tobytes()


def write_idx(folder, zipped=False) -> str:
    """The arrays above as the four files of MNIST."""
    for name, array in zip(IDX, arrays().values(), strict=True):
        raw = idx_bytes(array)
        (folder / (name + ".gz" * zipped)).write_bytes(gzip.compress(raw) if zipped else raw)
    return str(folder)


def write_tfds(folder, name: str, splits: dict, features: dict | None = None) -> None:
    """Prepares a TensorFlow Datasets set as array_record, without TensorFlow and without a download.

    Args:
        folder: its data_dir.
        name: of its class, in camel case; the class stays registered in this process.
        splits: split -> (images, labels); images go in as PNG files, since TFDS needs TensorFlow to encode arrays.
        features: of a row; by default images of the first one's shape and 4 labels.
    """
    import tensorflow_datasets as tfds

    shape = next(iter(splits.values()))[0][0].shape
    features = features or {"image": tfds.features.Image(shape=shape), "label": tfds.features.ClassLabel(num_classes=4)}
    columns = {
        split: ([_png(image) for image in images], np.asarray(labels).tolist())
        for split, (images, labels) in splits.items()
    }
    write_tfds_rows(folder, name, columns, features)


def write_tfds_rows(folder, name: str, splits: dict, features: dict, in_order: bool = False) -> None:
    """The same for rows of any features; ``splits``: split -> one column of values a feature.

    TensorFlow Datasets shuffles what it stores unless ``in_order``.
    """
    import tensorflow_datasets as tfds

    class Written(tfds.core.GeneratorBasedBuilder, skip_registration=True):
        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            return tfds.core.DatasetInfo(
                builder=self, features=tfds.features.FeaturesDict(features), disable_shuffling=in_order
            )

        def _split_generators(self, dl_manager):
            return {split: self._generate_examples(columns) for split, columns in splits.items()}

        def _generate_examples(self, columns):
            for i, row in enumerate(zip(*columns, strict=True)):
                yield i, dict(zip(features, row, strict=True))

    cls = type(name, (Written,), {"__module__": __name__})  # registers it
    cls(data_dir=folder, file_format="array_record").download_and_prepare()


def _png(image: np.ndarray) -> bytes:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(file, "png")
    return file.getvalue()
