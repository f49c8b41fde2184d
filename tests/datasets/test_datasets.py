from __future__ import annotations

import gzip
import json
import shutil
import tempfile
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
from _cases import some

from bench.datasets import cache as datasets
from bench.datasets.content import MANIFEST, PINNED, hash_dataset, hash_files
from bench.errors import DataError, SpecError


@pytest.fixture
def cache(arrays: Path, tmp_path: Path) -> Path:
    """A copy of the cache."""
    shutil.copytree(arrays.parent, tmp_path / "cache")
    return tmp_path / "cache"


def embedded(name: str, header: int) -> np.ndarray:
    """Return the bytes of an embedded file, read without torchvision."""
    packed = (resources.files("bench") / "data" / "mnist" / f"{name}.gz").read_bytes()
    return np.frombuffer(gzip.decompress(packed), np.uint8)[header:]


def test_the_arrays_are_the_embedded_bytes(arrays: Path) -> None:
    mnist = datasets.load(arrays)
    for array, name, header in (
        (mnist.train_images, "train-images-idx3-ubyte", 16),
        (mnist.train_labels, "train-labels-idx1-ubyte", 8),
        (mnist.test_images, "t10k-images-idx3-ubyte", 16),
        (mnist.test_labels, "t10k-labels-idx1-ubyte", 8),
    ):
        assert array.dtype == np.uint8
        np.testing.assert_array_equal(array.ravel(), embedded(name, header))
    assert mnist.train_images.shape == (60_000, 784)
    assert mnist.test_images.shape == (10_000, 784)


def test_torchvision_reads_the_same_cache(arrays: Path) -> None:
    from bench.datasets._torchvision import import_datasets

    test = import_datasets().MNIST(arrays.parent, train=False, download=False)
    assert len(test) == 10_000
    assert test[0][1] == datasets.load(arrays).test_labels[0]


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1000])


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "file"),
    some(
        [
            (flip_a_bit, "mnist-arrays/test_labels.npy"),
            (truncate, "mnist-arrays/train_images.npy"),
            (Path.unlink, "mnist-arrays/test_images.npy"),
            (Path.unlink, "mnist-arrays/manifest.json"),
            (truncate, "mnist-arrays/manifest.json"),
        ],
        2,
    ),
)
def test_a_damaged_cache_is_rebuilt(cache: Path, damage, file: str) -> None:  # type: ignore[no-untyped-def]
    whole = (cache / file).read_bytes()
    if file.endswith("json") and damage is truncate:
        (cache / file).write_text('{"train_images": "')
    else:
        damage(cache / file)
    datasets.prepare("mnist", cache)
    assert (cache / file).read_bytes() == whole


def test_labels_that_were_changed_with_their_manifest_are_rebuilt(cache: Path) -> None:
    labels, manifest = cache / "mnist-arrays" / "test_labels.npy", cache / "mnist-arrays" / MANIFEST
    whole = labels.read_bytes(), manifest.read_text()
    np.save(labels, np.roll(np.load(labels), 1))
    changed = hash_files(cache / "mnist-arrays")
    manifest.write_text(json.dumps({**json.loads(whole[1]), "sha256": changed}))
    datasets.prepare("mnist", cache)
    assert (labels.read_bytes(), manifest.read_text()) == whole


def test_the_arrays_have_the_hash_in_the_code(arrays: Path) -> None:
    assert hash_files(arrays) == hash_dataset(datasets.load(arrays)) == PINNED["mnist"]


def test_digits_have_the_hash_in_the_code(tmp_path: Path) -> None:
    pytest.importorskip("sklearn", reason="needs scikit-learn: pip install '.[digits]'")
    assert datasets.prepare_verified("digits", tmp_path).content_hash == PINNED["digits"]


def test_other_arrays_than_those_of_the_hash_are_an_error(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(datasets, "PINNED", {"mnist": "0" * 64})
    with pytest.raises(DataError, match=r"of mnist have SHA-256 [0-9a-f]{64}, expected 0{64}"):
        datasets.prepare("mnist", cache)


def test_damaged_raw_files_are_unpacked_again(cache: Path) -> None:
    raw = cache / "MNIST" / "raw" / "t10k-labels-idx1-ubyte"
    flip_a_bit(raw)
    shutil.rmtree(cache / "mnist-arrays")
    arrays = datasets.prepare("mnist", cache)
    assert datasets.load(arrays).test_labels[-1] == embedded("t10k-labels-idx1-ubyte", 8)[-1]


def test_damaged_embedded_files_are_an_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    package = tmp_path / "package"
    shutil.copytree(str(resources.files("bench") / "data"), package / "data")
    flip_a_bit(package / "data" / "mnist" / "t10k-labels-idx1-ubyte.gz")
    monkeypatch.setattr(resources, "files", lambda _name: package)
    with pytest.raises(DataError, match=r"t10k-labels-idx1-ubyte.gz is damaged: SHA-256 is"):
        datasets.prepare("mnist", tmp_path / "cache")


def test_an_unwritable_cache_falls_back_with_one_warning(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.warns(RuntimeWarning, match="cannot keep the dataset in .*file") as caught:
        arrays = datasets.prepare("mnist", tmp_path / "file" / "cache")
    assert len(caught) == 1
    assert len(datasets.load(arrays).test_labels) == 10_000


def test_an_unknown_dataset_is_an_error() -> None:
    with pytest.raises(SpecError, match="unknown dataset 'minst': did you mean mnist"):
        datasets.prepare("minst")


def test_an_environment_variable_sets_the_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(datasets.DATA_DIR_VARIABLE, "/somewhere")
    assert datasets.default_data_dir() == Path("/somewhere")
    monkeypatch.delenv(datasets.DATA_DIR_VARIABLE)
    assert "optimizer-bench" in str(datasets.default_data_dir())


def test_a_user_without_a_home_has_a_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_home(_name: str) -> Path:
        raise RuntimeError("could not determine the home directory for '~/.cache'")

    monkeypatch.delenv(datasets.DATA_DIR_VARIABLE)
    monkeypatch.setattr(datasets.platformdirs, "user_cache_path", no_home)
    assert datasets.default_data_dir().parent == Path(tempfile.gettempdir())
