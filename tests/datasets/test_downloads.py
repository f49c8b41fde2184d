"""Downloads through torchvision from a local server.

The tests cannot download the published files. Small files in the same formats replace them, and
torchvision's addresses and MD5 sums are patched. Its code for download, check and parsing is used.
"""

from __future__ import annotations

import bz2
import gzip
import hashlib
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from _cases import some

from bench.datasets import cache as datasets
from bench.datasets import downloads
from bench.datasets._torchvision import import_datasets
from bench.datasets.names import DOWNLOADS
from bench.errors import DataError

N_TRAIN, N_TEST = 30, 20
IDX_BYTES, IDX_INTS = 8, 12


def idx(array: np.ndarray, code: int) -> bytes:
    """Return an array in the IDX format of MNIST."""
    sizes = b"".join(n.to_bytes(4, "big") for n in array.shape)
    return bytes([0, 0, code, array.ndim]) + sizes + array.tobytes()


def images(n: int) -> np.ndarray:
    return np.random.default_rng(n).integers(0, 256, (n, 28, 28)).astype(np.uint8)


def classes(n: int) -> np.ndarray:
    return (np.arange(n) % 10).astype(np.uint8)


def mnist_files() -> dict[str, bytes]:
    return {
        f"{part}-{what}.gz": gzip.compress(idx(array, IDX_BYTES))
        for part, n in (("train", N_TRAIN), ("t10k", N_TEST))
        for what, array in (("images-idx3-ubyte", images(n)), ("labels-idx1-ubyte", classes(n)))
    }


def qmnist_files() -> dict[str, bytes]:
    files = {}
    for part, n in (("train", N_TRAIN), ("test", N_TEST)):
        columns = np.full((n, 8), 77, ">i4")
        columns[:, 0] = classes(n)
        files[f"qmnist-{part}-images-idx3-ubyte.gz"] = gzip.compress(idx(images(n), IDX_BYTES))
        files[f"qmnist-{part}-labels-idx2-int.gz"] = gzip.compress(idx(columns, IDX_INTS))
    return files


def emnist_files() -> dict[str, bytes]:
    packed = BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for part, n in (("train", N_TRAIN), ("test", N_TEST)):
            columns = images(n).transpose(0, 2, 1)
            for what, array in (("images-idx3", columns), ("labels-idx1", classes(n))):
                content = gzip.compress(idx(array, IDX_BYTES))
                archive.writestr(f"gzip/emnist-digits-{part}-{what}-ubyte.gz", content)
    return {"gzip.zip": packed.getvalue()}


def usps_files() -> dict[str, bytes]:
    def lines(n: int) -> bytes:
        rows = images(n)[:, :16, :16].reshape(n, -1) / 255 * 2 - 1
        return "".join(
            f"{label + 1} " + " ".join(f"{i + 1}:{v:.6f}" for i, v in enumerate(row)) + "\n"
            for label, row in zip(classes(n), rows, strict=True)
        ).encode()

    return {"usps.bz2": bz2.compress(lines(N_TRAIN)), "usps.t.bz2": bz2.compress(lines(N_TEST))}


FILES = {
    "fashion-mnist": mnist_files,
    "kmnist": mnist_files,
    "qmnist": qmnist_files,
    "emnist-digits": emnist_files,
    "usps": usps_files,
}
PLACES = {
    "fashion-mnist": "FashionMNIST/raw",
    "kmnist": "KMNIST/raw",
    "qmnist": "QMNIST/raw",
    "emnist-digits": "EMNIST/raw",
    "usps": "USPS",
}


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """Serve a directory; return the directory and its address."""
    served = tmp_path / "served"
    served.mkdir()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=served)) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield served, f"http://127.0.0.1:{running.server_port}/"
        running.shutdown()
        thread.join()


def redirect(monkeypatch: pytest.MonkeyPatch, name: str, url: str) -> dict[str, bytes]:
    """Set the address of a dataset in torchvision to `url`, and its sums to those of the files."""
    files = FILES[name]()
    sums = {file: hashlib.md5(content).hexdigest() for file, content in files.items()}
    cls: Any = getattr(import_datasets(), DOWNLOADS[name].class_name)
    if name == "usps":
        parts = zip(("train", "test"), sums.items(), strict=True)
        split = {part: [url + file, file, md5] for part, (file, md5) in parts}
        monkeypatch.setattr(cls, "split_list", split)
    elif name == "emnist-digits":
        monkeypatch.setattr(cls, "url", f"{url}gzip.zip")
        monkeypatch.setattr(cls, "md5", sums["gzip.zip"])
    elif name == "qmnist":
        pairs = [(url + file, md5) for file, md5 in sums.items()]
        monkeypatch.setattr(cls, "resources", {"train": pairs[:2], "test": pairs[2:]})
    else:
        monkeypatch.setattr(cls, "mirrors", [url])
        monkeypatch.setattr(cls, "resources", list(sums.items()))
    small = {**DOWNLOADS, name: replace(DOWNLOADS[name], n_train=N_TRAIN)}
    monkeypatch.setattr(downloads, "DOWNLOADS", small)
    return files


def write(directory: Path, files: dict[str, bytes]) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    for file, content in files.items():
        (directory / file).write_bytes(content)


def check(arrays: Path, name: str) -> None:
    found = datasets.load(arrays)
    size = 16 if name == "usps" else 28
    assert found.image_shape == (1, size, size)
    assert found.n_classes == 10
    for got, n in ((found.train_images, N_TRAIN), (found.test_images, N_TEST)):
        expected = images(n)[:, :size, :size].reshape(n, -1).astype(int)
        # USPS is text: torchvision rounds its numbers down
        assert np.abs(got - expected).max() <= (1 if name == "usps" else 0)
    np.testing.assert_array_equal(found.train_labels, classes(N_TRAIN))
    np.testing.assert_array_equal(found.test_labels, classes(N_TEST))


def nowhere() -> str:
    """Return an address that refuses connections."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as unused:
        return f"http://127.0.0.1:{unused.server_port}/"


@pytest.mark.parametrize("name", some(FILES, 2))
def test_a_download_is_read_and_kept(
    name: str,
    server: tuple[Path, str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    served, url = server
    write(served, redirect(monkeypatch, name, url))
    arrays = datasets.prepare(name, tmp_path / "cache", quiet=False)
    check(arrays, name)
    for file in served.iterdir():  # the second time nothing is downloaded
        file.unlink()
    assert datasets.prepare(name, tmp_path / "cache") == arrays
    (arrays / "train_images.npy").unlink()
    check(datasets.prepare(name, tmp_path / "cache"), name)
    assert capfd.readouterr() == ("", "")  # no progress bar without a terminal


@pytest.mark.parametrize("name", FILES)
def test_files_can_be_copied_into_the_cache(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The message names the directory, the required files and the damaged files."""
    files = redirect(monkeypatch, name, nowhere())
    place = tmp_path / PLACES[name]
    with pytest.raises(DataError) as raised:
        datasets.prepare(name, tmp_path)
    said = str(raised.value)
    assert said.startswith(f"cannot download {name} (")
    assert "refused" in said
    assert f"put {', '.join(files)} into {place}" in said
    assert "\n" not in said

    first = next(iter(files))
    write(place, {**files, first: files[first][:-9]})
    with pytest.raises(DataError, match=f"MD5 differs from the published one: {first}"):
        datasets.prepare(name, tmp_path)

    write(place, files)
    check(datasets.prepare(name, tmp_path), name)


def test_incomplete_files_are_unpacked_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    files = redirect(monkeypatch, "kmnist", nowhere())
    raw = tmp_path / PLACES["kmnist"]
    write(raw, files)
    write(raw, {name.removesuffix(".gz"): b"half" for name in files})
    check(datasets.prepare("kmnist", tmp_path), "kmnist")


def test_a_wrong_number_of_images_is_an_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    write(tmp_path / PLACES["kmnist"], redirect(monkeypatch, "kmnist", nowhere()))
    monkeypatch.setattr(downloads, "DOWNLOADS", DOWNLOADS)
    with pytest.raises(DataError, match="it has 30 training images, expected 60000"):
        datasets.prepare("kmnist", tmp_path)


def test_a_file_with_another_md5_is_an_error(
    server: tuple[Path, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    served, url = server
    files = redirect(monkeypatch, "fashion-mnist", url)
    write(served, {name: content[:-9] for name, content in files.items()})
    with pytest.raises(DataError, match=r"cannot download fashion-mnist \(File not found or corr"):
        datasets.prepare("fashion-mnist", tmp_path)


def test_the_number_of_training_images_needs_no_download() -> None:
    assert datasets.n_train_images("emnist-digits") == 240_000
