"""Results in object storage: addresses, the copy on this machine, the lease, and whole commands."""

from __future__ import annotations

import json
import os
import shutil
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from _cases import some
from _s3 import BUCKET, KEY, S3, SECRET, Request, first, serving
from _stored import copy_example
from conftest import CommandCall, CommandLine, Finished

import bench
from bench.errors import StoreError, UsageError
from bench.execution.timeouts import time_limit
from bench.storage import lease as leases
from bench.storage import mirror as mirrors
from bench.storage.lease import Lease
from bench.storage.mirror import Mirror
from bench.storage.remote import (
    CACHE_VARIABLE,
    RemoteDirectory,
    UnavailableError,
    remote_of,
    results_root,
    sweep_directory,
    with_uris,
)
from bench.storage.rows import write_rows
from bench.storage.store import Store
from bench.sweeps import writing as sending
from bench.sweeps.lock import names_process
from bench.sweeps.merge import COMPARED
from bench.tuning.plan import PLAN_FILE

SWEEP = (
    *("sweep", "--dataset", "digits", "--optimizers", "sgd,adam", "--seeds", "2"),
    *("--iterations", "20", "--eval-every", "10", "--name", "tiny", "-j", "1", "--no-report"),
)
#: The same without workers, whose start takes seconds.
HERE = (*SWEEP, "--in-process")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory for copies: that of one machine."""
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short pauses."""
    monkeypatch.setattr(mirrors, "_FIRST_PAUSE", 0.02)
    monkeypatch.setattr(sending, "_SEND_EVERY", 0.02)


@pytest.fixture(scope="module")
def server() -> Iterator[S3]:
    """A server for all tests, which share a client: making one takes half a second."""
    import s3fs

    with serving() as s3:
        s3fs.S3FileSystem.clear_instance_cache()
        yield s3
    s3fs.S3FileSystem.clear_instance_cache()


@pytest.fixture
def s3(server: S3, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3]:
    """An empty bucket, and the environment of a client."""
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    server.clear()
    yield server
    server.fault = None


def other_machine(monkeypatch: pytest.MonkeyPatch, directory: Path) -> None:
    """Have a cache without copies from now on."""
    monkeypatch.setenv(CACHE_VARIABLE, str(directory / "cache-of-another"))


def without_times(rows: pa.Table) -> list[dict[str, Any]]:
    """The rows as a comparison of two sweeps sees them."""
    columns = ["run_key", "optimizer", "seed", *COMPARED]
    found = rows.select(columns).to_pylist()
    return sorted(found, key=lambda row: (row["optimizer"], row["seed"]))


# addresses

URIS = {
    "s3://bucket": "s3://bucket",
    "s3://bucket/a/b/": "s3://bucket/a/b",
    "abfs://container@account.dfs.core.windows.net/a": None,
    "hdfs://user@host:8020/a": None,
    "memory://results": None,
    "file:///tmp/results": None,
}
WRONG_URIS = {
    f"s3://{KEY}:{SECRET}@bucket/a": "no password and no query",
    f"s3://{KEY}:a/{SECRET}@bucket/a": "no password and no query",
    f"s3://{KEY}%3A{SECRET}@bucket/a": "no password and no query",
    f"sftp://user@host:{SECRET}/a": "no password and no query",
    f"s3://bucket/a?secret={SECRET}": "no password and no query",
    "https://bucket/a": "https:// cannot store results",
    "s3:/bucket/a": "must begin with s3://, got s3:/...",
    f"s3://bucket/a#{SECRET}": "no password and no query",
    "s3://": "must be one such as s3://bucket/results",
    "s3:///a": "must name a bucket",
    "s3://bucket//a": "must name a bucket",
    "s3://bucket/../a": "must name a bucket",
    "s3://bucket/*": "must be one such as",
    "file://": "must be one such as",
    "simplecache::s3://bucket": "must be one such as",
}


@pytest.mark.parametrize("given", URIS)
def test_a_uri_has_a_directory_of_its_own(given: str, cache: Path) -> None:
    root = results_root(given)
    assert (
        root.parent == cache / "results" == sweep_directory(f"{given.rstrip('/')}/x").parent.parent
    )
    remote = remote_of(root / "mnist")
    uri = (URIS[given] or given) + "/mnist"
    assert remote is not None
    assert remote.uri == uri
    assert sweep_directory(uri) == root / "mnist"
    assert with_uris(f"see {root}/mnist/runs.parquet") == f"see {uri}/runs.parquet"


@pytest.mark.parametrize("given", WRONG_URIS)
def test_wrong_uris_are_refused_in_one_line_without_what_may_be_secret(
    given: str, cache: Path, call_command: CommandCall
) -> None:
    for words in ([*HERE, "--results", given], ["report", f"{given}/x"], ["watch", given]):
        found = call_command(*words)
        assert (found.code, found.out, found.err.count("\n")) == (2, "", 1), words
        assert WRONG_URIS[given] in found.err or f"{given}/x" in words
        assert SECRET not in found.err
    assert not cache.exists()


def test_other_directories_are_no_copies(tmp_path: Path) -> None:
    (tmp_path / ".storage").write_text("s3://bucket")
    assert remote_of(tmp_path / "mnist") is None
    assert remote_of(Path("mnist")) is None
    assert results_root("results") == sweep_directory(Path("results")) == Path("results")


def test_a_copy_is_recognised_by_its_resolved_path(cache: Path, tmp_path: Path) -> None:
    """As where the home directory is a symbolic link."""
    (tmp_path / "disk").mkdir()
    cache.symlink_to(tmp_path / "disk")
    directory = sweep_directory("file:///data/results/x")
    assert directory.resolve() != directory
    assert remote_of(directory.resolve()) == remote_of(directory) is not None


# the copy


@pytest.fixture
def mirror(tmp_path: Path) -> Mirror:
    """A copy of a directory with two runs, which is equal to it."""
    uri = f"file://{tmp_path}/storage"
    stored = tmp_path / "storage" / "x"
    rows = Store(copy_example(tmp_path)).read_rows()
    for folder in ("runs", ""):
        (stored / folder).mkdir(parents=True, exist_ok=True)
    write_rows(rows.slice(0, 1), stored / "runs" / "a.parquet")
    write_rows(rows.slice(1, 1), stored / "runs" / "b.parquet")
    write_rows(rows.slice(2, 1), stored / "runs.parquet")
    (stored / "spec.json").write_text("{}")
    found = mirror_of(uri)
    found.pull()
    return found


def mirror_of(uri: str) -> Mirror:
    """The copy as a new process sees it."""
    directory = sweep_directory(f"{uri}/x")
    remote = remote_of(directory)
    assert remote is not None
    return Mirror(directory, remote)


def again(mirror: Mirror) -> Mirror:
    return Mirror(mirror.directory, mirror.remote)


def files(directory: Path) -> dict[str, bytes]:
    found = (file for file in directory.rglob("*") if file.is_file())
    return {file.relative_to(directory).as_posix(): file.read_bytes() for file in found}


def storage_of(mirror: Mirror) -> Path:
    return Path(mirror.remote.uri.removeprefix("file://"))


def _write(name: str, content: bytes = b"new") -> Callable[[Path], None]:
    def change(directory: Path) -> None:
        (directory / name).parent.mkdir(exist_ok=True)
        (directory / name).write_bytes(content)

    return change


def _unlink(name: str) -> Callable[[Path], None]:
    return lambda directory: (directory / name).unlink()


def _copy(name: str, to: str) -> Callable[[Path], None]:
    return lambda directory: shutil.copy(directory / name, directory / to) and None


def _nothing(_directory: Path) -> None:
    pass


#: What changes in the storage, what changes in the copy, and where each file then comes from.
CHANGES: dict[str, tuple[Callable[[Path], None], Callable[[Path], None], dict[str, str]]] = {
    "nothing": (_nothing, _nothing, {}),
    "new in the storage": (_write("runs/c.parquet"), _nothing, {"runs/c.parquet": "storage"}),
    "changed in the storage": (_write("spec.json"), _nothing, {"spec.json": "storage"}),
    "removed in the storage": (_unlink("runs/a.parquet"), _nothing, {"runs/a.parquet": "none"}),
    "not sent yet": (_nothing, _write("runs/c.parquet"), {"runs/c.parquet": "copy"}),
    "sent as another": (
        _write("runs/c.parquet", b"theirs"),
        _write("runs/c.parquet"),
        {"runs/c.parquet": "storage"},
    ),
    "damaged": (_nothing, _write("runs/a.parquet", b"PAR1"), {"runs/a.parquet": "storage"}),
    "replaced": (
        _nothing,
        _copy("runs/b.parquet", "runs/a.parquet"),
        {"runs/a.parquet": "copy"},
    ),
    "removed in the copy": (_nothing, _unlink("spec.json"), {"spec.json": "storage"}),
    "changed on both sides": (
        _write("spec.json", b"theirs"),
        _write("spec.json"),
        {"spec.json": "storage"},
    ),
    "put together in the copy": (
        _nothing,
        _copy("runs/b.parquet", "runs-0001.parquet"),
        {"runs-0001.parquet": "copy"},
    ),
    "put together on both sides": (
        _copy("runs/a.parquet", "runs.parquet"),
        _copy("runs/b.parquet", "runs-0001.parquet"),
        {"runs.parquet": "storage", "runs-0001.parquet": "none"},
    ),
    "of others in the storage": (_write("notes.txt"), _nothing, {"notes.txt": "storage only"}),
    "of the user in the copy": (_nothing, _write("secrets.yaml"), {"secrets.yaml": "copy only"}),
    "other rows of the user": (
        _nothing,
        _write("runs-backup.parquet"),
        {"runs-backup.parquet": "copy only"},
    ),
    "a plan of a tuning": (_nothing, _write(PLAN_FILE), {PLAN_FILE: "copy"}),
    "warnings": (_nothing, _write("warnings.log"), {"warnings.log": "copy"}),
    "hidden": (_write(".hidden.json"), _nothing, {".hidden.json": "storage only"}),
}


@pytest.mark.parametrize("kind", CHANGES)
def test_pulling_takes_what_changed_and_keeps_what_was_not_sent(kind: str, mirror: Mirror) -> None:
    in_storage, in_copy, expected = CHANGES[kind]
    stored = storage_of(mirror)
    in_storage(stored)
    in_copy(mirror.directory)
    before = files(mirror.directory)
    again(mirror).pull()
    wanted = files(stored)
    for name, origin in expected.items():
        wanted.pop(name, None)
        if origin in ("storage", "copy", "copy only"):
            wanted[name] = (files(stored) if origin == "storage" else before)[name]
    assert files(mirror.directory) == wanted


@pytest.mark.parametrize("kind", CHANGES)
def test_what_was_pulled_and_pushed_is_equal(kind: str, mirror: Mirror) -> None:
    in_storage, in_copy, expected = CHANGES[kind]
    in_storage(storage_of(mirror))
    in_copy(mirror.directory)
    found = again(mirror)
    found.pull()
    found.push()
    found.confirm()
    others = [name for name, origin in expected.items() if origin.endswith("only")]
    copy, stored = (
        {name: content for name, content in files(directory).items() if name not in others}
        for directory in (mirror.directory, storage_of(mirror))
    )
    assert copy == stored
    both = files(mirror.directory).keys() & files(storage_of(mirror)).keys()
    assert not both.intersection(others)
    assert again(mirror).unsent() == []


@pytest.mark.parametrize("content", [b"", b"[1]", b'{"runs/a.parquet": 3}', b"[" * 9999])
def test_a_damaged_state_is_made_again(content: bytes, mirror: Mirror) -> None:
    state = mirror.directory.parent / ".state" / "x.json"
    before = state.read_bytes()
    state.write_bytes(content)
    _write("runs/c.parquet")(mirror.directory)
    again(mirror).pull()
    assert json.loads(state.read_bytes()).keys() == json.loads(before).keys()
    assert files(mirror.directory) == {**files(storage_of(mirror)), "runs/c.parquet": b"new"}


def test_only_what_changed_is_transferred(mirror: Mirror, monkeypatch: pytest.MonkeyPatch) -> None:
    moved: list[str] = []
    fetch, put = RemoteDirectory.fetch, RemoteDirectory.put

    def fetched(self: RemoteDirectory, names: list[str]) -> dict[str, bytes]:
        moved.extend(names)
        return fetch(self, names)

    def sent(self: RemoteDirectory, contents: dict[str, bytes]) -> None:
        moved.extend(contents)
        put(self, contents)

    monkeypatch.setattr(RemoteDirectory, "fetch", fetched)
    monkeypatch.setattr(RemoteDirectory, "put", sent)
    found = again(mirror)
    found.pull()
    found.push()
    assert moved == []
    _write("runs/c.parquet")(storage_of(mirror))
    _write("runs/d.parquet")(mirror.directory)
    found.pull()
    found.push()
    assert moved == ["runs/c.parquet", "runs/d.parquet"]


def test_rows_are_in_the_storage_at_any_time_while_they_are_put_together(
    mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The files of single runs are removed after the file with their rows was written."""
    changes: list[tuple[str, list[str]]] = []
    put, remove = RemoteDirectory.put, RemoteDirectory.remove

    def sent(self: RemoteDirectory, contents: dict[str, bytes]) -> None:
        changes.append(("put", sorted(contents)))
        put(self, contents)

    def removed(self: RemoteDirectory, names: list[str]) -> None:
        changes.append(("remove", sorted(names)))
        remove(self, names)

    monkeypatch.setattr(RemoteDirectory, "put", sent)
    monkeypatch.setattr(RemoteDirectory, "remove", removed)
    shutil.copy(mirror.directory / "runs" / "a.parquet", mirror.directory / "runs.parquet")
    for name in "ab":
        (mirror.directory / "runs" / f"{name}.parquet").unlink()
    mirror.push()
    mirror.push(is_complete=True)
    assert changes == [("put", ["runs.parquet"]), ("remove", ["runs/a.parquet", "runs/b.parquet"])]


def test_a_run_that_was_set_aside_is_removed_from_the_storage(mirror: Mirror) -> None:
    """Otherwise the next command would fetch it again."""
    (mirror.directory / "quarantine").mkdir()
    damaged = mirror.directory / "runs" / "a.parquet"
    damaged.rename(mirror.directory / "quarantine" / "a-2.parquet")
    mirror.push()
    again(mirror).pull()
    assert files(mirror.directory) == files(storage_of(mirror))
    names = {"runs/b.parquet", "runs.parquet", "spec.json", "quarantine/a-2.parquet"}
    assert files(storage_of(mirror)).keys() == names


def test_nothing_is_removed_from_the_storage_if_the_copy_is_removed(mirror: Mirror) -> None:
    before = files(storage_of(mirror))
    shutil.rmtree(mirror.directory / "runs")
    mirror.push()
    assert files(storage_of(mirror)) == before
    shutil.rmtree(mirror.directory)
    mirror.push(is_complete=True)
    assert files(storage_of(mirror)) == before
    again(mirror).pull()
    assert files(mirror.directory) == before


@pytest.mark.parametrize("status", ["ok", "failed"])
def test_an_unsent_run_does_not_replace_the_one_that_another_machine_has_finished(
    status: str, mirror: Mirror
) -> None:
    """Both were trained: one by a command that was killed, the other by the next one elsewhere."""
    stored = storage_of(mirror)
    theirs = pq.read_table(stored / "runs" / "a.parquet")
    theirs = theirs.set_column(theirs.column_names.index("status"), "status", [[status]])
    (mirror.directory / "runs" / "a.parquet").rename(mirror.directory / "runs" / "c.parquet")
    for file in ("runs/a.parquet", "runs/b.parquet"):
        (stored / file).unlink()
    write_rows(theirs, stored / "runs.parquet")
    again(mirror).pull()
    place = "quarantine" if status == "ok" else "runs"
    assert f"{place}/c.parquet" in files(mirror.directory)
    again(mirror).pull()
    assert f"{place}/c.parquet" in files(mirror.directory)


def test_a_file_that_vanishes_while_it_is_fetched_is_looked_for_again(
    mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when a sweep elsewhere puts its rows together."""
    stored = storage_of(mirror)
    _write("runs/c.parquet")(stored)
    fetch = RemoteDirectory.fetch

    def fetched(self: RemoteDirectory, names: list[str]) -> dict[str, bytes]:
        if (stored / "runs" / "c.parquet").exists():
            (stored / "runs" / "c.parquet").rename(stored / "runs-0001.parquet")
        return fetch(self, names)

    monkeypatch.setattr(RemoteDirectory, "fetch", fetched)
    again(mirror).pull()
    assert files(mirror.directory) == files(stored)
    assert "runs-0001.parquet" in files(stored)


def test_a_storage_whose_files_always_vanish_is_not_taken_for_fetched(
    mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    _write("runs/c.parquet")(storage_of(mirror))
    monkeypatch.setattr(RemoteDirectory, "fetch", lambda *_: {})
    with pytest.raises(UnavailableError, match="files vanish while it is fetched"):
        again(mirror).pull()


def test_a_sweep_fetches_files_again_that_were_damaged_in_the_copy(mirror: Mirror) -> None:
    """Their sizes and times are as before, as after a flipped bit."""
    stored = files(storage_of(mirror))
    for name in ("runs.parquet", "runs/a.parquet"):
        file = mirror.directory / name
        content, before = bytearray(file.read_bytes()), file.stat()
        content[len(content) // 3] ^= 1
        file.write_bytes(content)
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    again(mirror).pull()
    assert files(mirror.directory) != stored
    with sending.writing(mirror.directory):
        found = files(mirror.directory)
    assert {name: found[name] for name in stored} == stored


def test_a_copy_to_which_a_sweep_of_this_machine_writes_is_read_as_it_is(mirror: Mirror) -> None:
    """It is newer than the storage."""
    with sending.writing(mirror.directory):
        _write("runs/c.parquet")(storage_of(mirror))
        mirrors.pulled(mirror.directory)
        assert "runs/c.parquet" not in files(mirror.directory)
    mirrors.pulled(mirror.directory)
    assert "runs/c.parquet" in files(mirror.directory)


def test_a_reader_waits_for_another_one_after_a_sweep_was_killed(mirror: Mirror) -> None:
    """The copy has half of the files then; the process number of the sweep is still in it."""
    (mirror.directory / ".lock.pid").write_text("1")
    _write("runs/c.parquet")(storage_of(mirror))
    with ThreadPoolExecutor(1) as pool:
        with mirrors.mirror_lock(mirror.directory):
            found = pool.submit(mirrors.pulled, mirror.directory)
            with pytest.raises(TimeoutError):
                found.result(2)
        found.result(60)
    assert "runs/c.parquet" in files(mirror.directory)


# the lease


def lease_of(name: str, tmp_path: Path) -> Lease:
    """A lease as a process of one machine asks for it."""
    copies = tmp_path / name
    copies.mkdir(exist_ok=True)
    return Lease(RemoteDirectory(f"memory://leases-{tmp_path.name}/x"), copies)


def test_one_process_at_a_time_holds_a_lease(tmp_path: Path) -> None:
    one, other = (lease_of(name, tmp_path) for name in "ab")
    assert one.acquire()
    with pytest.raises(UsageError, match=r"another sweep \(host .*, process \d+, since .* UTC\)"):
        other.acquire()
    one.renew()
    one.release()
    assert other.acquire()


def test_the_lease_of_an_ended_process_of_this_machine_is_taken_over(tmp_path: Path) -> None:
    """The lock of the copy shows that it has ended."""
    before = lease_of("a", tmp_path)
    assert before.acquire()
    assert lease_of("a", tmp_path).acquire()


@pytest.mark.parametrize("seconds", [leases.STALE_AFTER + 1, -leases.STALE_AFTER - 1])
def test_a_lease_that_is_not_renewed_is_taken_over_and_lost(
    seconds: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, third = (lease_of(name, tmp_path) for name in "ac")
    before.acquire()
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + seconds)
    late = lease_of("b", tmp_path)
    assert late.acquire()
    with pytest.raises(UsageError, match="another sweep"):
        third.acquire()
    monkeypatch.setattr(time, "time", lambda: now + leases.RENEW_EVERY + 1)
    with pytest.raises(StoreError, match="was taken over by host"):
        before.renew()
    assert before.is_lost
    before.release()  # it removes nothing
    remote = RemoteDirectory(f"memory://leases-{tmp_path.name}/x")
    assert [*remote.listed(".lease")] == [".lease/000001", ".lease/000002"]


def test_a_renewed_lease_is_not_taken_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = (lease_of(name, tmp_path) for name in "ab")
    one.acquire()
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + leases.STALE_AFTER - 1)
    one.renew()
    monkeypatch.setattr(time, "time", lambda: now + leases.STALE_AFTER + 1)
    with pytest.raises(UsageError, match="another sweep"):
        other.acquire()


def test_a_renewal_in_flight_ends_before_the_lease_is_released(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise it would write over the lease of the next process."""
    monkeypatch.setattr(leases, "RENEW_EVERY", 0.0)
    lease, put = lease_of("a", tmp_path), RemoteDirectory.put
    lease.acquire()
    is_put, may_put = threading.Event(), threading.Event()

    def slowly(self: RemoteDirectory, contents: dict[str, bytes]) -> None:
        is_put.set()
        assert may_put.wait(60)
        put(self, contents)

    monkeypatch.setattr(RemoteDirectory, "put", slowly)
    with ThreadPoolExecutor(2) as pool:
        renewal = pool.submit(lease.renew)
        assert is_put.wait(60)
        release = pool.submit(lease.release)
        with pytest.raises(TimeoutError):
            release.result(0.1)
        may_put.set()
        renewal.result(60)
        release.result(60)
    assert [*RemoteDirectory(f"memory://leases-{tmp_path.name}/x").listed(".lease")] == []
    with pytest.raises(StoreError, match="was released"):
        lease.renew()


def test_a_removed_lease_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = (lease_of(name, tmp_path) for name in "ab")
    one.acquire()
    RemoteDirectory(f"memory://leases-{tmp_path.name}/x").remove([".lease/000001"])
    other.acquire()
    other.release()
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + leases.RENEW_EVERY + 1)
    with pytest.raises(StoreError, match="was taken over, because"):
        one.renew()


@pytest.mark.parametrize("content", [b"", b"[]", b'{"host": 3}'])
def test_a_damaged_lease_is_replaced(content: bytes, tmp_path: Path) -> None:
    RemoteDirectory(f"memory://leases-{tmp_path.name}/x").put({".lease/000007": content})
    assert lease_of("a", tmp_path).acquire()


@pytest.mark.parametrize("number", [1, 2])
def test_a_lease_gives_way_to_one_whose_content_was_not_seen(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on file://, where a file is seen before its content, and each takes its own number."""
    remote = RemoteDirectory(f"memory://leases-{tmp_path.name}/x")
    other, create = lease_of("b", tmp_path), RemoteDirectory.create
    other.acquire()
    content = remote.fetch([".lease/000001"])[".lease/000001"]
    other.release()
    if number == 1:
        remote.put({".lease/000001": b""})

    def created(self: RemoteDirectory, name: str, own: bytes) -> bool:
        is_created = create(self, name, own)
        self.put({f".lease/{number:06d}": content})
        return is_created

    monkeypatch.setattr(RemoteDirectory, "create", created)
    with pytest.raises(UsageError, match=r"another sweep \(host "):
        lease_of("a", tmp_path).acquire()
    assert [*remote.listed(".lease")] == [f".lease/{number:06d}"]


def test_a_storage_that_ignores_conditions_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def create(self: RemoteDirectory, name: str, content: bytes) -> bool:
        self.put({name: content})
        return True

    monkeypatch.setattr(RemoteDirectory, "create", create)
    assert not lease_of("a", tmp_path).acquire()
    with pytest.raises(UsageError, match="another sweep"):
        lease_of("b", tmp_path).acquire()


# errors of the storage

REFUSALS: dict[str, tuple[str, str]] = {
    "nosuch://bucket/a": ("there is no storage nosuch://", ""),
    "gs://bucket/a": ("gs:// needs the Python package gcsfs: install it", ""),
    "s3://missing/a": ("cannot use s3://missing/a/tiny: FileNotFoundError (NoSuchBucket)", ""),
    f"s3://{BUCKET}/a": ("PermissionError (AccessDenied)", "403 Access Denied"),
    f"s3://{BUCKET}/b": ("PermissionError (InvalidAccessKeyId)", "403 Invalid Access Key Id"),
}


@pytest.mark.usefixtures("digits")
@pytest.mark.parametrize("uri", REFUSALS)
def test_a_refusing_storage_is_explained_in_one_line(
    uri: str, s3: S3, call_command: CommandCall
) -> None:
    message, status = REFUSALS[uri]
    s3.fault = (lambda _: status) if status else None
    for words in ([*HERE, "--quiet", "--results", uri], ["report", f"{uri}/tiny"]):
        found = call_command(*words)
        assert (found.code, found.out, found.err.count("\n")) == (2, "", 1), found.err
        assert message in found.err
        assert KEY not in found.err
        assert SECRET not in found.err
    assert s3.objects() == {}


@pytest.mark.usefixtures("s3")
def test_a_client_without_credentials_is_told_so(
    monkeypatch: pytest.MonkeyPatch, call_command: CommandCall
) -> None:
    import s3fs

    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    s3fs.S3FileSystem.clear_instance_cache()
    found = call_command("report", f"s3://{BUCKET}/a/tiny")
    assert (found.code, found.err.count("\n")) == (2, 1)
    assert "NoCredentialsError" in found.err
    s3fs.S3FileSystem.clear_instance_cache()


def test_one_of_several_processes_that_start_together_holds_the_lease(
    s3: S3, tmp_path: Path
) -> None:
    """The condition is that of the server: none of them has seen another's lease before."""
    remote = RemoteDirectory(f"s3://{BUCKET}/a/x")
    together = threading.Barrier(4)

    def acquire(name: str) -> bool:
        (tmp_path / name).mkdir()
        lease = Lease(remote, tmp_path / name)
        together.wait()
        try:
            return lease.acquire()
        except UsageError:
            return False

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(acquire, "abcd")) == [False, False, False, True]
    assert names_of(s3, "a/x/") == {".lease/000001"}


def test_a_storage_that_does_not_answer_is_waited_for(s3: S3) -> None:
    remote = RemoteDirectory(f"s3://{BUCKET}/a/x")
    s3.fault = lambda _: "503 Service Unavailable"
    with pytest.raises(UnavailableError, match=r"does not answer: OSError \(ServiceUnavailable\)"):
        mirrors.patiently(remote.listed, 0.1)
    calls = [0]

    def listed() -> dict[str, Any]:
        calls[0] += 1
        if calls[0] == 2:
            s3.fault = None
        return dict(remote.listed())

    assert mirrors.patiently(listed, 60) == {}
    assert calls == [2]


# commands


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the sweep of these tests."""
    directory = tmp_path_factory.mktemp("local")
    assert bench.cli.main([*HERE, "--quiet", "--results", str(directory)]) == 0
    return directory / "tiny"


def names_of(s3: S3, prefix: str = "a/tiny/") -> set[str]:
    return {name.removeprefix(prefix) for name in s3.objects() if name.startswith(prefix)}


def assert_complete(s3: S3, local: Path, tmp_path: Path) -> None:
    """All rows are in one file of the storage, as a local sweep stores them."""
    assert names_of(s3) - {"looks.json"} == {"runs.parquet", "spec.json", "sweep.yaml"}
    fetched = tmp_path / "fetched" / "tiny"
    fetched.mkdir(parents=True)
    for name in names_of(s3):
        (fetched / name).write_bytes(s3.objects()[f"a/tiny/{name}"])
    assert without_times(Store(fetched).read_rows()) == without_times(Store(local).read_rows())
    assert (fetched / "spec.json").read_bytes() == (local / "spec.json").read_bytes()


def assert_no_secret(s3: S3, found: Finished, *directories: Path) -> None:
    contents = [*s3.objects().values(), found.out.encode(), found.err.encode()]
    for directory in directories:
        contents += files(directory).values()
    assert not [c for c in contents if SECRET.encode() in c or KEY.encode() in c]


def _flaky() -> Callable[[Request], str | None]:
    """A quarter of all requests fail, and the others are slow."""
    numbers = iter(range(10**6))

    def fault(_request: Request) -> str | None:
        time.sleep(0.005)
        return None if next(numbers) % 4 else "503 Slow Down"

    return fault


FAULTS: dict[str, Callable[[], Callable[[Request], str | None] | None]] = {
    "none": lambda: None,
    "flaky and slow": _flaky,
    "no writes for a while": lambda: first(3, "503 Service Unavailable", method="PUT"),
}


@pytest.mark.parametrize(
    "kind",
    some(["flaky and slow", "none", "no writes for a while"], 3),
)
def test_a_sweep_in_a_storage_has_the_rows_of_a_local_one(
    kind: str, s3: S3, local: Path, cache: Path, tmp_path: Path, call_command: CommandCall
) -> None:
    s3.fault = FAULTS[kind]()
    found = call_command(*HERE, "--results", f"s3://{BUCKET}/a")
    assert found.code == 0, found.err
    s3.fault = None
    assert_complete(s3, local, tmp_path)
    assert_no_secret(s3, found, cache)
    assert str(cache) not in found.out + found.err
    s3.requests.clear()
    second = call_command(*HERE, "--results", f"s3://{BUCKET}/a")
    assert "nothing to do" in second.out or "already" in second.out, second.out
    assert [path for method, path in s3.requests if method == "PUT" and "runs" in path] == []


def _stored(s3: S3, local: Path, prefix: str = "a/tiny") -> str:
    """Store the local sweep, and return its URI."""
    for name in ("runs.parquet", "spec.json", "sweep.yaml"):
        s3.put(f"{prefix}/{name}", (local / name).read_bytes())
    return f"s3://{BUCKET}/{prefix}"


#: Commands that read a sweep at a URI, and what they print of it.
READING = {
    "report {uri} --format markdown --output -": "tiny",
    "analyze {uri} --json -": '"treatments"',
    "compare {uri} {local} --json -": '"changes"',
    "watch {uri}": "sweep tiny: 4/4 runs, 0 failed, finished",
}


@pytest.mark.parametrize("words", READING)
def test_commands_that_read_results_take_a_uri(
    words: str, s3: S3, local: Path, cache: Path, call_command: CommandCall
) -> None:
    uri = _stored(s3, local)
    given = [word.format(uri=uri, local=local) for word in words.split()]
    found = call_command(*given)
    assert found.code == 0, found.err
    assert READING[words] in found.out
    assert str(cache) not in found.out + found.err
    if words.startswith("report"):
        expected = call_command(*(str(local) if word == uri else word for word in given))
        assert found.out == expected.out


def test_a_look_is_recorded_in_the_storage(
    s3: S3, local: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call_command: CommandCall
) -> None:
    """Otherwise a look from another machine would be tested at the level of the first."""
    uri = _stored(s3, local)
    call_command("analyze", uri, "--json", "-")
    looks = json.loads(s3.objects()["a/tiny/looks.json"])["looks"]
    assert [look["seeds"] for look in looks] == ["0-1"]
    other_machine(monkeypatch, tmp_path)
    call_command("analyze", uri, "--json", "-")
    assert json.loads(s3.objects()["a/tiny/looks.json"])["looks"] == looks


@pytest.mark.filterwarnings("default")
def test_a_look_that_cannot_be_recorded_is_a_warning(
    s3: S3, local: Path, call_command: CommandCall
) -> None:
    """As with credentials that may only read."""
    uri = _stored(s3, local)
    s3.fault = lambda r: "403 Access Denied" if r["REQUEST_METHOD"] == "PUT" else None
    found = call_command("analyze", uri, "--json", "-")
    assert found.code == 0
    assert "this look at the results is not recorded: cannot use s3://" in found.err


@pytest.mark.usefixtures("undrawn")
@pytest.mark.long
def test_a_page_names_the_uri(
    s3: S3, local: Path, cache: Path, tmp_path: Path, call_command: CommandCall
) -> None:
    uri = _stored(s3, local)
    call_command("compare", uri, local, "--html", "page.html")
    page = (tmp_path / "page.html").read_text()
    assert uri in page
    assert str(cache) not in page


def test_functions_take_a_uri(s3: S3, local: Path) -> None:
    uri = _stored(s3, local)
    assert len(bench.load_runs(uri)) == 4
    assert bench.analyse(uri).name == "tiny"
    spec = Store(local).read_spec()
    assert spec is not None
    runs = bench.sweep(spec, results=f"s3://{BUCKET}/a", n_jobs=1, in_process=True)
    assert len(runs) == 4
    assert not [name for name in names_of(s3) if name.startswith(("runs/", ".lease"))]


@pytest.mark.long
def test_shards_are_merged_in_the_storage(
    s3: S3, local: Path, tmp_path: Path, call_command: CommandCall
) -> None:
    for shard in ("1/2", "2/2"):
        found = call_command(*HERE, "--shard", shard, "--results", f"s3://{BUCKET}/a")
        assert found.code == 0, found.err
    wrong = call_command("merge", f"s3://{BUCKET}/a/none*", "--results", f"s3://{BUCKET}/a")
    assert (wrong.code, "no directory matches" in wrong.err) == (2, True)
    sources = f"s3://{BUCKET}/a/tiny-shard*"
    found = call_command("merge", sources, "--results", f"s3://{BUCKET}/a")
    assert found.code == 0, found.err
    assert f"merged: 4 of 4 runs in s3://{BUCKET}/a/tiny, 0 failed" in found.out
    assert_complete(s3, local, tmp_path)


def test_a_second_sweep_is_refused_and_names_the_first(
    s3: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call_command: CommandCall
) -> None:
    other_machine(monkeypatch, tmp_path)
    directory = sweep_directory(f"s3://{BUCKET}/a/tiny")
    with sending.writing(_made(directory)):
        monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
        found = call_command(*HERE, "--results", f"s3://{BUCKET}/a")
    assert found.code == 2
    assert "another sweep (host " in found.err
    assert f"is writing to s3://{BUCKET}/a/tiny: wait for it, or use another --name" in found.err
    assert names_of(s3) == set()


def _made(directory: Path) -> Path:
    directory.mkdir(parents=True)
    return directory


def test_rows_that_cannot_be_sent_are_kept_and_sent_by_the_next_command(
    s3: S3, local: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call_command: CommandCall
) -> None:
    monkeypatch.setattr(sending, "PATIENCE", 0.1)

    def fault(request: Request) -> str | None:
        is_row = request["REQUEST_METHOD"] == "PUT" and "/runs/" in request["PATH_INFO"]
        return "503 Service Unavailable" if is_row else None

    s3.fault = fault
    found = call_command(*HERE, "--results", f"s3://{BUCKET}/a")
    assert found.code == 1
    assert f"not everything could be sent to s3://{BUCKET}/a/tiny, and 4 rows of" in found.err
    assert names_of(s3) == {"spec.json", "sweep.yaml"}
    s3.fault = None
    found = call_command(*HERE, "--results", f"s3://{BUCKET}/a")
    assert found.code == 0
    assert "trained" not in found.out
    assert_complete(s3, local, tmp_path)


def test_a_sweep_ends_if_its_lease_is_taken_over(
    s3: S3, monkeypatch: pytest.MonkeyPatch, call_command: CommandCall
) -> None:
    """As on a machine that was suspended: it must not write over the rows of another sweep."""
    monkeypatch.setattr(leases, "RENEW_EVERY", 0.0)

    def fault(request: Request) -> None:
        if request["REQUEST_METHOD"] == "PUT" and "/runs/" in request["PATH_INFO"]:
            s3.put("a/tiny/.lease/000002", b"{}")

    s3.fault = fault
    found = call_command(*HERE, "--results", f"s3://{BUCKET}/a")
    assert found.code == 1
    assert f"the lock of s3://{BUCKET}/a/tiny was taken over" in found.err
    assert "runs.parquet" not in names_of(s3)
    assert ".lease/000002" in names_of(s3)


def test_a_sweep_that_loses_its_lease_while_it_sends_writes_no_other_file(
    mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a machine that was suspended: the rows of the sweep that took over stay."""
    monkeypatch.setattr(leases, "RENEW_EVERY", 0.0)
    monkeypatch.setattr(sending, "_SEND_EVERY", 60.0)
    monkeypatch.setattr(mirrors, "_MOST_FILES", 1)
    stored, put = storage_of(mirror), RemoteDirectory.put

    def sent(self: RemoteDirectory, contents: dict[str, bytes]) -> None:
        put(self, contents)
        if "looks.json" in contents:
            _write(".lease/000002", b"{}")(stored)
            _write("runs.parquet", b"theirs")(stored)

    def write_and_flush() -> None:
        with sending.writing(mirror.directory) as lock:
            for name in ("looks.json", "runs.parquet"):
                _write(name, b"ours")(mirror.directory)
            lock.flush()

    monkeypatch.setattr(RemoteDirectory, "put", sent)
    with pytest.raises(StoreError, match="was taken over"):
        write_and_flush()
    assert (stored / "runs.parquet").read_bytes() == b"theirs"


#: The request at which a sweep is killed: its method, and a part of its path and query.
MOMENTS = {
    "the lease is taken": ("PUT", ".lease/000001"),
    "a row is sent": ("PUT", "/runs/sgd"),
    "rows are put together": ("PUT", "/runs.parquet"),
    "files of runs are removed": ("POST", "?delete"),
}


def test_a_storage_that_fails_for_a_while_is_named_once(
    mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise UnavailableError("s3://bucket/x does not answer")

    lease = lease_of("a", tmp_path)
    lease.acquire()
    monkeypatch.setattr(sending, "_TROUBLE_AFTER", -1.0)
    monkeypatch.setattr(RemoteDirectory, "put", fail)
    _write("runs/c.parquet")(mirror.directory)
    with sending.Sender(mirror, lease).started() as sender:
        while not (found := _warnings_of(sender.verify)):
            time.sleep(0.01)
        assert found == [
            "s3://bucket/x does not answer; rows wait on this machine and are sent later"
        ]
        assert _warnings_of(sender.verify) == []


def _warnings_of(call: Callable[[], None]) -> list[str]:
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        call()
    return [str(warning.message) for warning in found]


def test_the_lease_is_renewed_while_the_copy_is_fetched(
    mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may take longer than a lease lasts."""
    monkeypatch.setattr(leases, "RENEW_EVERY", 0.0)
    monkeypatch.setattr(sending, "RENEW_EVERY", 0.04)
    file = storage_of(mirror) / ".lease" / "000001"
    contents: set[bytes] = set()

    def pull(_mirror: Mirror, **_: object) -> None:
        while len(contents) < 3:
            contents.add(file.read_bytes())
            time.sleep(0.01)

    monkeypatch.setattr(Mirror, "pull", pull)
    with time_limit(60, "not renewed"), sending.writing(mirror.directory):
        assert len({json.loads(content)["renewed"] for content in contents}) == 3


def test_watch_sees_a_sweep_of_another_machine(
    s3: S3, local: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _stored(s3, local)
    directory = sweep_directory(f"s3://{BUCKET}/a/tiny")
    assert not names_process(directory)
    other_machine(monkeypatch, tmp_path)
    with sending.writing(_made(sweep_directory(f"s3://{BUCKET}/a/tiny"))):
        monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
        assert names_process(directory)
        monkeypatch.setattr(leases, "STALE_AFTER", 0.0)
        assert not names_process(directory)


def test_watch_waits_for_a_storage_that_fails_for_a_moment(
    mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed, n_calls = RemoteDirectory.listed, iter(range(10))

    def fail_once(self: RemoteDirectory, folder: str = "") -> dict[str, Any]:
        if next(n_calls) == 0:
            raise UnavailableError("file:// does not answer")
        return listed(self, folder)

    monkeypatch.setattr(RemoteDirectory, "listed", fail_once)
    assert not names_process(mirror.directory)
    assert next(n_calls) == 2


TUNING = ("--tune", "--tune-trials", "2", "--tune-seeds", "1")


@pytest.mark.long
def test_a_tuning_in_a_storage_is_read_from_another_machine(
    s3: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call_command: CommandCall
) -> None:
    words = [*HERE, *TUNING, "--quiet", "--results", f"s3://{BUCKET}/a"]
    assert call_command(*words).code == 0
    other_machine(monkeypatch, tmp_path)
    found = call_command(
        "report", f"s3://{BUCKET}/a/tiny-trials", "--format", "json", "--output", "-"
    )
    assert json.loads(found.out)["name"] == "tiny"
    assert not [name for name in s3.objects() if "/runs/" in name or ".lease" in name]
    s3.requests.clear()
    assert call_command(*words).code == 0
    assert [path for method, path in s3.requests if method == "PUT" and "runs" in path] == []


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.parametrize("machine", ["same", "other"])
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_killed_sweep_loses_no_row(
    moment: str, machine: str, s3: S3, local: Path, tmp_path: Path, run_command: CommandLine
) -> None:
    """On a storage that fails; the next command is on the same machine, or on another one."""
    method, part = MOMENTS[moment]
    words = [*SWEEP, "--quiet", "--results", f"s3://{BUCKET}/a"]
    variables = {CACHE_VARIABLE: str(tmp_path / "cache-1"), **s3.environment}
    flaky = _flaky()
    process = run_command.start(*words, environment=variables)

    def fault(request: Request) -> str | None:
        address = f"{request['PATH_INFO']}?{request['QUERY_STRING']}"
        if request["REQUEST_METHOD"] == method and part in address:
            os.killpg(process.pid, signal.SIGKILL)
        return flaky(request)

    s3.fault = fault
    process.communicate(timeout=120)
    assert process.returncode == -signal.SIGKILL
    s3.fault = flaky
    if machine == "other":
        variables[CACHE_VARIABLE] = str(tmp_path / "cache-2")
        for name in names_of(s3):
            if name.startswith(".lease"):
                refused = run_command(*words, environment=variables)
                assert "another sweep (host " in refused.err
                s3.put(f"a/tiny/{name}", b"")  # as after three minutes
    found = run_command(*words, environment=variables)
    assert found.code == 0, found.err
    assert_complete(s3, local, tmp_path)


@pytest.mark.long
@pytest.mark.slow
def test_an_interrupted_sweep_gives_its_lease_back(
    s3: S3, tmp_path: Path, run_command: CommandLine
) -> None:
    variables = {CACHE_VARIABLE: str(tmp_path / "cache-1"), **s3.environment}
    words = [*SWEEP, "--results", f"s3://{BUCKET}/a", "--iterations", "3000", "--seeds", "8"]
    process = run_command.start(*words, environment=variables)

    def interrupt(request: Request) -> None:
        if request["REQUEST_METHOD"] == "PUT" and "/runs/" in request["PATH_INFO"]:
            s3.fault = None
            process.send_signal(signal.SIGINT)

    s3.fault = interrupt
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert not [name for name in names_of(s3) if name.startswith(".lease")]
    assert [name for name in names_of(s3) if name.startswith("runs/")]
