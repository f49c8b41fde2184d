"""User-defined datasets from .npz files and functions: valid ones, and one-line errors."""

from __future__ import annotations

import json
import multiprocessing
import re
import shutil
import sys
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import resolve_one

from bench.datasets import cache as datasets
from bench.datasets.arrays import checked
from bench.datasets.content import ARRAYS
from bench.datasets.names import resolve_dataset, short_name
from bench.errors import BenchError, SpecError
from bench.spec.model import Workload
from bench.spec.plugins import load_external
from bench.training.device_data import DeviceData
from bench.training.stack import TrainedRun, train

Arrays = dict[str, Any]


def labelled(shape: tuple[int, ...] = (3, 8, 8), dtype: Any = np.uint8) -> Arrays:
    """Return twelve training images and six test images of three classes."""
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (18, *shape))
    images = images / 255 if np.dtype(dtype).kind == "f" else images
    labels = np.arange(18) % 3
    x = images.astype(dtype)
    return {"x_train": x[:12], "y_train": labels[:12], "x_test": x[12:], "y_test": labels[12:]}


def saved(path: Path, **changes: Any) -> Path:
    """Write an .npz file; a change to None omits an array."""
    arrays = {**labelled(), **changes}
    np.savez(path, **{key: value for key, value in arrays.items() if value is not None})
    return path


def one_line(call: Callable[[], object]) -> str:
    with pytest.raises(BenchError) as raised:
        call()
    message = str(raised.value)
    assert "\n" not in message
    assert len(message) < 600
    return message


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_channels_may_come_last(channels: int) -> None:
    given = labelled((16, 16, channels))
    found = checked(given, "mine")
    assert found.image_shape == (channels, 16, 16)
    first = np.moveaxis(given["x_train"], -1, 1)
    assert (found.train_images == first.reshape(12, -1)).all()


@pytest.mark.parametrize("shape", [(12, 16, 3), (16, 3, 3), (3, 8, 4)])
def test_channels_that_may_be_first_or_last(shape: tuple[int, ...]) -> None:
    """Images with at most 4 channels in front have them there; other shapes are refused."""
    if shape != (12, 16, 3):
        assert checked(labelled(shape), "mine").image_shape == shape
    else:
        message = one_line(lambda: checked(labelled(shape), "mine"))
        assert "(12, 12, 16, 3) can be (n, C, H, W) or (n, H, W, C): transpose them" in message


@pytest.mark.parametrize(
    ("shape", "dtype", "expected"),
    [
        ((3, 8, 8), np.uint8, (3, 8, 8)),
        ((1, 5, 7), np.float32, (1, 5, 7)),
        ((5, 7), np.float64, (1, 5, 7)),
        ((9,), np.float16, (1, 1, 9)),
        ((4, 6), np.int64, (1, 4, 6)),
        ((4, 6), ">u2", (1, 4, 6)),
    ],
)
def test_images_of_any_size_and_number_of_channels(
    tmp_path: Path, shape: tuple[int, ...], dtype: Any, expected: tuple[int, ...]
) -> None:
    given = labelled(shape, dtype)
    path = saved(tmp_path / "mine.npz", **given)
    name = resolve_dataset(str(path))
    found = datasets.load(datasets.prepare(name, tmp_path / "cache"))
    assert found.image_shape == expected
    assert found.n_classes == 3
    stored = np.float32 if np.dtype(dtype).kind == "f" else np.uint8
    assert found.train_images.dtype == found.test_images.dtype == stored
    assert found.train_labels.dtype == np.uint8
    np.testing.assert_array_equal(
        found.train_images, given["x_train"].reshape(12, -1).astype(stored)
    )
    np.testing.assert_array_equal(found.test_labels, given["y_test"])
    data = DeviceData.of(found, torch.device("cpu"))
    workload = Workload(dataset=name, batch_size=4, iterations=3, eval_every=2)
    (run,) = train(workload, resolve_one("adam"), [0], data)
    assert run.diverged_at is None
    np.testing.assert_array_equal(  # mapped copy-on-write, and not modified
        found.train_images, given["x_train"].reshape(12, -1).astype(stored)
    )


def test_booleans_become_0_and_255() -> None:
    arrays = labelled((4,))
    bits = {key: arrays[key] > 100 for key in ("x_train", "x_test")}
    found = checked({**arrays, **bits}, "here")
    np.testing.assert_array_equal(found.train_images, bits["x_train"] * 255)


@pytest.mark.parametrize(
    ("classes", "expected", "dtype"),
    [([0], 2, np.uint8), ([0, 255], 256, np.uint8), ([0, 256], 257, np.int64), ([7], 8, np.uint8)],
)
def test_classes_are_counted_from_zero(classes: list[int], expected: int, dtype: Any) -> None:
    arrays = labelled()
    labels = {f"y_{part}": np.resize(classes, n) for part, n in (("train", 12), ("test", 6))}
    found = checked({**arrays, **labels}, "here")
    assert (found.n_classes, found.test_labels.dtype) == (expected, dtype)


WITH_NAN = labelled((2, 2), np.float32)["x_train"]
WITH_NAN[5, 1, 1] = np.nan
FLOATS = labelled((2, 2), np.float32)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x_test": None, "y_test": None}, "lacks x_test, y_test: it must hold x_train, y_train"),
        ({"x_train": None, "images": np.zeros(3)}, "it holds 'images', 'x_test', 'y_test'"),
        ({"x_train": np.zeros(12, np.uint8)}, "x_train must be of shape (n, D), (n, H, W)"),
        ({"x_train": np.uint8(3)}, "x_train must be of shape"),
        ({"x_train": np.zeros((12, 1, 2, 3, 4), np.uint8)}, "got (12, 1, 2, 3, 4)"),
        ({"x_train": np.zeros((12, 3, 9, 8), np.uint8)}, "got (3, 9, 8) and (3, 8, 8)"),
        ({"x_train": np.zeros((0, 3, 8, 8), np.uint8)}, "x_train is empty"),
        ({"x_train": np.zeros((12, 3, 0, 8), np.uint8)}, "x_train is empty"),
        ({"x_train": np.full((12, 3, 8, 8), 256)}, "x_train must hold integers 0 to 255"),
        ({"x_test": np.full((6, 3, 8, 8), -1)}, "got integers -1 to -1"),
        ({"x_train": np.zeros((12, 3, 8, 8), np.float32)}, "the same kind of numbers"),
        ({"x_train": np.zeros((12, 3, 8, 8), complex)}, "must hold numbers, got an array of"),
        ({"x_train": np.full((12, 3), "a")}, "x_train must hold numbers"),
        ({**FLOATS, "x_train": WITH_NAN}, "x_train must hold finite numbers"),
        ({**FLOATS, "x_test": np.full((6, 2, 2), 1e300)}, "x_test must hold finite numbers"),
        ({"x_train": np.array([{}] * 12, object)}, "x_train cannot be read: ValueError: Object"),
        ({"y_train": np.arange(12) / 4}, "y_train must hold integers, the classes, got float64"),
        ({"y_train": np.zeros(12, bool)}, "y_train must hold integers"),
        ({"y_train": np.eye(12, 3, dtype=int)}, "y_train must be of shape (n,), got (12, 3)"),
        ({"y_train": np.zeros(11, int)}, "got 12 images and 11 labels"),
        ({"y_train": np.full(12, -1)}, "y_train must hold classes 0 to 999, got -1 to -1"),
        ({"y_train": np.arange(12) + 989}, "y_train must hold classes 0 to 999, got 989 to 1000"),
        ({"y_train": np.full(12, 2**64 - 1, np.uint64)}, "got 18446744073709551615 to"),
        ({"y_test": np.arange(6)}, "every class of y_test must be in y_train, class 3 is not"),
    ],
)
def test_invalid_arrays(tmp_path: Path, changes: Arrays, message: str) -> None:
    path = tmp_path / "mine.npz"
    saved(path, **changes)
    said = one_line(lambda: datasets.prepare(str(path), tmp_path / "cache"))
    assert message in said
    assert repr(str(path)) in said
    assert not list((tmp_path / "cache").glob("*-arrays*"))


def truncated(path: Path) -> None:
    saved(path).write_bytes(path.read_bytes()[:-300])


def bit_flipped(path: Path) -> None:
    content = bytearray(saved(path).read_bytes())
    content[600] ^= 1
    path.write_bytes(content)


def one_array(path: Path) -> None:
    with path.open("wb") as file:
        np.save(file, np.zeros(3))


def other_zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("x_train", "no array")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: path.write_bytes(b""), "is not an .npz file, or damaged: EOFError"),
        (lambda path: path.write_text("a,b\n"), "is not an .npz file, or damaged: "),
        (one_array, "is not an .npz file: write it with numpy.savez"),
        (truncated, "is not an .npz file, or damaged: BadZipFile"),
        (bit_flipped, "x_train cannot be read: BadZipFile: Bad CRC-32"),
        (other_zip, "lacks y_train, x_test, y_test"),
        (Path.mkdir, "cannot be read: Is a directory"),
        (lambda _: None, "cannot be read: No such file or directory"),
    ],
)
def test_invalid_npz_files(tmp_path: Path, make: Callable[[Path], object], message: str) -> None:
    path = tmp_path / "mine.npz"
    make(path)
    assert message in one_line(lambda: datasets.prepare(str(path), tmp_path / "cache"))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("minst", "unknown dataset 'minst': did you mean mnist"),
        ("mine.npy", "(a user-defined dataset is the path of an .npz file"),
        ("mine.npz@abc", "a user-defined dataset is written FILE.npz, or FILE.npz@ and 12 digits"),
        ("a\0b.npz", "cannot be read: embedded null byte"),
        ("a" * 5000 + ".npz", "cannot be read: File name too long"),
        ("no_such_module:load", "dataset 'no_such_module:load': cannot import no_such_module"),
    ],
)
def test_invalid_names(name: str, message: str) -> None:
    assert message in one_line(lambda: resolve_dataset(name))


def test_concurrent_processes_share_one_cache(tmp_path: Path) -> None:
    name = resolve_dataset(str(saved(tmp_path / "mine.npz")))
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        found = pool.starmap(datasets.prepare, [(name, tmp_path / "cache")] * 4)
    assert len(set(found)) == 1
    left = {file.name for file in (tmp_path / "cache").iterdir()} - {found[0].name}
    assert left <= {found[0].name.replace("-arrays", ".lock")}


def test_other_keys_are_ignored(tmp_path: Path) -> None:
    path = saved(tmp_path / "mine.npz", notes=np.array(["text"]))
    assert datasets.load(datasets.prepare(str(path), tmp_path)).n_classes == 3


@pytest.mark.parametrize("odd", ["a b", "a@b", "a:b", "ä\n'x", "C:\\x", "-rf", "mine.npz"])
def test_names_with_special_characters(tmp_path: Path, odd: str) -> None:
    (tmp_path / odd).mkdir()
    path = saved(tmp_path / odd / f"{odd}.npz")
    name = resolve_dataset(str(path))
    assert name.startswith(f"{path}@")
    assert resolve_dataset(name) == name
    found = datasets.prepare(name, tmp_path / "cache")
    assert found == datasets.prepare(str(path), tmp_path / "cache")
    short = short_name(name)
    assert short.endswith(name[-13:].replace("@", "-"))
    assert short.replace("-", "").replace(".", "").isalnum()


def test_a_changed_file_with_its_old_hash_is_an_error(tmp_path: Path) -> None:
    path = saved(tmp_path / "mine.npz")
    name = resolve_dataset(str(path))
    before = datasets.prepare(name, tmp_path / "cache")
    saved(path, x_train=255 - labelled()["x_train"])
    for call in (resolve_dataset, datasets.prepare):
        assert "the file has changed, its hash is" in one_line(lambda call=call: call(name))
    assert datasets.prepare(str(path), tmp_path / "cache") != before


@pytest.mark.parametrize("damage", ["array", "shape", "classes", "manifest"])
def test_a_damaged_cache_is_rebuilt(tmp_path: Path, damage: str) -> None:
    path = saved(tmp_path / "mine.npz")
    arrays = datasets.prepare(str(path), tmp_path / "cache")
    whole = {file.name: file.read_bytes() for file in arrays.iterdir()}
    manifest = arrays / "manifest.json"
    if damage == "array":
        (arrays / "y_test.npy").touch()
        (arrays / "test_images.npy").write_bytes(b"")
    elif damage == "shape":
        manifest.write_text(manifest.read_text().replace("8,", "9,", 1))
    elif damage == "classes":
        manifest.write_text(manifest.read_text().replace('"n_classes": 3', '"n_classes": 4'))
    else:
        manifest.write_text("[]")
    assert datasets.prepare(str(path), tmp_path / "cache") == arrays
    assert {file.name: file.read_bytes() for file in arrays.iterdir()} == whole


MODULE = """
import numpy as np

def arrays():
    x = np.load("x.npy")
    y = np.arange(len(x)) % 3
    return x, y, x[:6], y[:6]

def mapping():
    return dict(zip(("x_train", "y_train", "x_test", "y_test"), arrays()))

def lists():
    return [[[0, 1]], [[1, 0]]], [0, 1], [[[0, 1]]], [1]

def three():
    return arrays()[:3]

def random():
    x = np.random.default_rng().random((6, 2, 2))
    return x, [0, 1, 2] * 2, x, [0, 1, 2] * 2

def nothing():
    pass

def ragged():
    return [[1], [1, 2]], [0, 1], [[1]], [0]

def fails():
    raise RuntimeError("first\\nsecond")

def exits():
    raise SystemExit(3)

number = 3
"""


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user module in the current directory, and the file that it reads."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    load_external.cache_clear()
    monkeypatch.setattr(datasets, "_declared", {})
    (tmp_path / "mine_data.py").write_text(MODULE)
    np.save(tmp_path / "x.npy", labelled()["x_train"])
    return tmp_path


def test_a_user_function(mine: Path) -> None:
    name = resolve_dataset("mine_data:arrays")
    assert name.startswith("mine_data:arrays@")
    first = datasets.prepare(name, mine / "cache")
    assert datasets.prepare("mine_data:mapping", mine / "cache") == first
    assert datasets.load(first).image_shape == (3, 8, 8)
    assert datasets.n_train_images(name, mine / "cache") == 12
    np.save(mine / "x.npy", labelled()["x_train"][:9])  # the source does not change
    assert datasets.n_train_images(name, mine / "cache") == 9  # another sweep is declared
    second = datasets.prepare(name, mine / "cache")
    assert second != first
    assert len(datasets.load(second).train_labels) == 9
    assert len(datasets.load(first).train_labels) == 12  # another command may be training on it


def test_a_function_that_returns_other_arrays_is_refused(mine: Path) -> None:
    name = resolve_dataset("mine_data:random")
    assert datasets.n_train_images(name, mine / "cache") == 6
    message = one_line(lambda: datasets.prepare(name, mine / "cache"))
    assert "must return the same arrays at every call" in message
    assert len(set(re.findall("[0-9a-f]{64}", message))) == 2
    assert not (mine / "cache").exists()


@pytest.mark.usefixtures("mine")
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("lists", None),
        ("three", "must return a mapping or a tuple of x_train, y_train, x_test, y_test, got"),
        ("nothing", "got NoneType"),
        ("ragged", "x_train is not an array (ValueError: "),
        ("fails", "the function failed (RuntimeError: first)"),
        ("exits", "the function failed (SystemExit: 3)"),
        ("number", "it must be a function that returns x_train, y_train, x_test, y_test"),
    ],
)
def test_what_a_function_returns_is_checked(name: str, message: str | None, tmp_path: Path) -> None:
    if message is None:
        assert datasets.prepare(f"mine_data:{name}", tmp_path / "cache").is_dir()
    else:
        assert message in one_line(lambda: datasets.prepare(f"mine_data:{name}", tmp_path))


def test_bytes_and_their_floats_give_equal_runs(mnist: DeviceData) -> None:
    def few(data: DeviceData) -> DeviceData:
        return replace(
            data,
            train_images=data.train_images[:3000],
            train_labels=data.train_labels[:3000],
            test_images=data.test_images[:1000],
            test_labels=data.test_labels[:1000],
        )

    def run(data: DeviceData) -> TrainedRun:
        return train(workload, resolve_one("adam"), [3], data)[0]

    workload = Workload(iterations=60, eval_every=30)
    as_bytes = few(mnist)
    as_floats = replace(
        as_bytes,
        train_images=as_bytes.train_images.float() / 255,
        test_images=as_bytes.test_images.float() / 255,
    )
    one, other = run(as_bytes), run(as_floats)
    assert one.data_order_sha256 == other.data_order_sha256
    for a, b in zip(one.evaluations, other.evaluations, strict=True):
        assert a.test_loss == pytest.approx(b.test_loss, rel=1e-5)


def test_training_on_digits(tmp_path: Path) -> None:
    pytest.importorskip("sklearn", reason="needs scikit-learn: pip install '.[digits]'")
    digits = datasets.load(datasets.prepare("digits", tmp_path))
    assert (digits.image_shape, digits.n_classes) == ((1, 8, 8), 10)
    assert (len(digits.train_labels), len(digits.test_labels)) == (1437, 360)
    assert datasets.n_train_images("digits") == 1437
    assert (digits.train_images.min(), digits.train_images.max()) == (0, 1)
    workload = Workload(dataset="digits", batch_size=32, iterations=300, eval_every=300)
    # Adam's default step is small for 300 updates: 0.85 to 0.87 over the first eight seeds
    adam = resolve_one("adam[lr=0.01]")
    runs = train(workload, adam, range(3), DeviceData.of(digits, torch.device("cpu")))
    assert min(run.evaluations[-1].test_accuracy for run in runs) > 0.85


def test_digits_without_scikit_learn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    monkeypatch.setitem(sys.modules, "sklearn", None)
    said = one_line(lambda: datasets.prepare("digits", tmp_path))
    assert "pip install 'optimizer-bench[digits]'" in said


def test_a_cache_of_an_earlier_version_is_rebuilt(arrays: Path, tmp_path: Path) -> None:
    """The manifest of earlier versions held hashes only."""
    shutil.copytree(arrays, tmp_path / "mnist-arrays")
    manifest = tmp_path / "mnist-arrays" / "manifest.json"
    whole = manifest.read_text()
    manifest.write_text(json.dumps(dict.fromkeys(ARRAYS, "a hash")))
    assert datasets.prepare("mnist", tmp_path) == tmp_path / "mnist-arrays"
    assert manifest.read_text() == whole


def test_an_unwritable_cache_falls_back(tmp_path: Path) -> None:
    path = saved(tmp_path / "mine.npz")
    with pytest.warns(RuntimeWarning, match="cannot keep the dataset in"):
        arrays = datasets.prepare(str(path), path / "cache")
    assert datasets.load(arrays).n_classes == 3


def test_an_invalid_file_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(SpecError):
        datasets.prepare(str(tmp_path / "none.npz"))
