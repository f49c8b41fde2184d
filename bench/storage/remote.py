"""Directories of results in object storage, by the URI of a storage that fsspec knows.

``URI/NAME/`` has the files of the results directory of a sweep (:mod:`bench.storage.store`). Every
command works on a copy in a directory of this machine, which :mod:`bench.storage.mirror` keeps
equal:

CACHE/results/<hash of the URI>/.storage       the URI
CACHE/results/<hash of the URI>/NAME/          the copy of URI/NAME/

Credentials come from the environment only, as the package of the storage reads them. No message
repeats the text of an error of such a package, which may hold parts of them.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import tempfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache, cached_property
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import platformdirs

from bench.errors import StoreError, UsageError
from bench.storage.files import replace_file

#: Environment variable with the directory of the copies.
CACHE_VARIABLE = "OPTIMIZER_BENCH_CACHE"
_MARKER = ".storage"
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*", re.ASCII)
#: Characters that patterns of fsspec, queries and fragments have.
_SPECIAL = frozenset("?#*[]\\")
#: Storages whose objects can be created on condition that they do not exist.
_CONDITIONAL = ("s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "memory", "file", "local", "sftp")
#: Storages whose URIs begin with the name of a bucket, which has no colon.
_BUCKETS = ("s3", "s3a", "gs", "gcs", "abfs", "abfss", "az")
_ONE_SLASH = re.compile(rf"({'|'.join(_BUCKETS)}|hdfs):/?(?!/)", re.ASCII)
#: Storages that have no buckets, and hold their objects in this process or on this machine.
_LOCAL = ("memory", "file", "local")
#: Codes of errors that say that an object exists, or is being created by another request.
_EXISTS = ("PreconditionFailed", "ConditionalRequestConflict", "412", "409")
#: Errors that another try does not help against: their classes and numbers.
_LASTING = (PermissionError, FileNotFoundError, NotADirectoryError, NotImplementedError, ValueError)
_LASTING_NUMBERS = (
    *(errno.EINVAL, errno.EPERM, errno.EACCES, errno.ENOSYS, errno.EROFS, errno.ENAMETOOLONG),
    getattr(errno, "EREMCHG", errno.EINVAL),
)
#: Names of the classes of errors about credentials and settings.
_SETTINGS = re.compile(r"Credential|Profile|SSO|Token|Region|ParamValidation|Authentication")


class UnavailableError(StoreError):
    """A storage does not answer for the time being."""


def is_uri(given: Path | str) -> bool:
    """Return whether what was given as a directory of results is a URI.

    Raise UsageError for one that lacks a slash: it would be a directory of this machine.
    """
    if match := _ONE_SLASH.match(str(given)):
        raise UsageError(f"the URI of results must begin with {match[1]}://, got {match[0]}...")
    return isinstance(given, str) and "://" in given


def results_root(given: Path | str) -> Path:
    """Return the directory with the directories of sweeps: for a URI, that of its copies.

    Raises
    ------
    UsageError
        If it is not the URI of a directory, or there is no place for the copies.
    """
    if not is_uri(given):
        return Path(given)
    uri = _checked(str(given))
    root = _mirrors() / hashlib.sha256(uri.encode()).hexdigest()[:16]
    try:
        if not (root / _MARKER).is_file():
            root.mkdir(parents=True, exist_ok=True)
            replace_file(uri.encode(), root / _MARKER)
    except OSError as error:
        raise UsageError(
            f"cannot store a copy of {uri} in {root}: {error.strerror or error}; name a directory "
            f"in the environment variable {CACHE_VARIABLE}"
        ) from error
    return root


def sweep_directory(given: Path | str) -> Path:
    """Return the directory of one sweep: for a URI, that of its copy.

    Raise UsageError as :func:`results_root`.
    """
    if not is_uri(given):
        return Path(given)
    above, _, name = _checked(str(given)).rpartition("/")
    if above.endswith(":/"):  # there is nothing below the bucket
        raise UsageError(f"{given} is no directory of a sweep: expected one such as {given}/mnist")
    return results_root(above) / name


def matching_uris(given: Path | str) -> list[Path | str]:
    """Return the URIs of the directories whose names match a URI with ``*`` in its last part.

    Anything else is returned as it is. Raise UsageError if none matches.
    """
    above, _, pattern = str(given).rstrip("/").rpartition("/")
    if not is_uri(given) or "*" not in pattern:
        return [given]
    uri = _checked(above)
    names = RemoteDirectory(uri).folders()
    if found := sorted(name for name in names if fnmatchcase(name, pattern)):
        return [f"{uri}/{name}" for name in found]
    raise UsageError(f"no directory matches {given}")


def remote_of(directory: Path) -> RemoteDirectory | None:
    """Return what `directory` is the copy of; None for any other directory."""
    root = directory.parent
    # a path of the user, or one that was resolved, may lead to the copies by a symbolic link
    if root.parent != _mirrors() and os.path.realpath(root.parent) != os.path.realpath(_mirrors()):
        return None
    try:
        uri = (root / _MARKER).read_text(encoding="utf-8")
    except OSError:
        return None
    return RemoteDirectory(f"{uri}/{directory.name}")


def with_uris(text: str) -> str:
    """Return `text` with URIs in place of the directories of their copies."""
    mirrors = str(_mirrors())
    if mirrors not in text:
        return text

    def uri(match: re.Match[str]) -> str:
        try:
            return (Path(match[0]) / _MARKER).read_text(encoding="utf-8")
        except OSError:
            return match[0]

    return re.sub(re.escape(mirrors) + r"[/\\][0-9a-f]{16}", uri, text)


def _mirrors() -> Path:
    return _mirrors_in(os.environ.get(CACHE_VARIABLE))


@cache  # it is asked for each printed line
def _mirrors_in(given: str | None) -> Path:
    if given:
        return Path(given).absolute() / "results"
    try:
        return platformdirs.user_cache_path("optimizer-bench") / "results"
    except RuntimeError:  # the user has no home directory, as in some containers
        user = getattr(os, "getuid", int)()
        return Path(tempfile.gettempdir()) / f"optimizer-bench-{user}" / "results"


def _checked(given: str) -> str:
    """Return a URI without slashes at its end; raise UsageError if it cannot be one of results.

    A message repeats the URI only if it cannot hold credentials.
    """
    scheme, _, rest = given.rstrip("/").partition("://")
    host, _, path = rest.partition("/")
    before_at = unquote(rest).rpartition("@")[0]
    has_port = scheme not in _BUCKETS and re.fullmatch(r"(.*@)?[^:@]+(:[0-9]{1,5})?", host)
    if ":" in before_at or (":" in unquote(host) and not has_port) or {"?", "#"} & {*rest}:
        raise UsageError(
            "the URI of results must have no password and no query: credentials are read from the "
            "environment, as the tools of the storage read them"
        )
    if scheme in ("http", "https"):
        raise UsageError(f"{scheme}:// cannot store results: expected such as s3://bucket/results")
    if not _SCHEME.fullmatch(scheme) or _SPECIAL & {*rest} or not given.isprintable():
        raise UsageError(
            f"the URI of results must be one such as s3://bucket/results, got {given[:80]!r}"
        )
    if scheme in _LOCAL:
        host, _, path = rest.strip("/").partition("/")
    if not host or any(part in ("", ".", "..") for part in path.split("/") if path):
        raise UsageError(
            "the URI of results must name a bucket, such as s3://bucket/results, got "
            f"{given[:80]!r}"
        )
    return f"{scheme}://{rest}"


@dataclass(frozen=True)
class Listed:
    """An object in a listing: its size, and a text that changes whenever it is written."""

    size: int
    version: str


@dataclass(frozen=True)
class RemoteDirectory:
    """The directory of one sweep in a storage. Names of files are relative to it.

    All methods raise UsageError if the storage refuses, and UnavailableError if it may answer
    later.
    """

    uri: str

    def listed(self, folder: str = "") -> dict[str, Listed]:
        """Return all files below the directory or a folder of it."""
        fs, path = self._opened
        with self._explained():
            fs.invalidate_cache()
            found = fs.find(f"{path}/{folder}".rstrip("/"), detail=True)
        return {
            name.removeprefix(f"{path}/"): Listed(size=info["size"], version=_version(info))
            for name, info in found.items()
            if name.startswith(f"{path}/")
        }

    def folders(self) -> list[str]:
        """Return the names of the folders of the directory."""
        fs, path = self._opened
        with self._explained():
            fs.invalidate_cache()
            found = fs.ls(path, detail=True)
        return [i["name"].rpartition("/")[2] for i in found if i["type"] == "directory"]

    def fetch(self, names: Collection[str]) -> dict[str, bytes]:
        """Return the contents of files; those that do not exist are left out."""
        fs, path = self._opened
        with self._explained():
            found = fs.cat([f"{path}/{name}" for name in names], on_error="return")
            for content in found.values():
                if isinstance(content, Exception) and not isinstance(content, FileNotFoundError):
                    raise content
        contents = {name: found[f"{path}/{name}"] for name in names}
        return {name: c for name, c in contents.items() if not isinstance(c, Exception)}

    def put(self, contents: Mapping[str, bytes]) -> None:
        """Write files; each is seen complete or not at all."""
        fs, path = self._opened
        with self._explained():
            if _is_object_storage(fs):
                fs.pipe({f"{path}/{name}": content for name, content in contents.items()})
                return
            for name, content in contents.items():
                target = f"{path}/{name}"
                folder, _, own = target.rpartition("/")
                temporary = f"{folder}/.{own}.{os.getpid()}.tmp"
                fs.makedirs(folder, exist_ok=True)
                fs.pipe_file(temporary, content)
                fs.mv(temporary, target)

    def create(self, name: str, content: bytes) -> bool:
        """Write a file unless it exists, and return whether it was written.

        A storage where this is not :attr:`is_conditional` overwrites the file.
        """
        fs, path = self._opened
        target = f"{path}/{name}"
        if not self.is_conditional:
            self.put({name: content})
            return True
        try:
            with self._explained():
                if _is_object_storage(fs):
                    fs.pipe_file(target, content, mode="create")
                else:
                    fs.makedirs(target.rpartition("/")[0], exist_ok=True)
                    with fs.open(target, "xb") as opened:
                        opened.write(content)
        except (StoreError, UsageError) as error:
            cause = error.__cause__
            if isinstance(cause, FileExistsError) or _code(cause) in _EXISTS:
                return False
            raise
        return True

    @property
    def is_conditional(self) -> bool:
        """Whether the storage can create a file on condition that it does not exist."""
        return self.uri.partition("://")[0] in _CONDITIONAL

    def remove(self, names: Collection[str]) -> None:
        """Remove files, if they exist."""
        fs, path = self._opened
        with self._explained(), suppress(FileNotFoundError):
            if _is_object_storage(fs):
                fs.rm([f"{path}/{name}" for name in names])
                return
            for name in names:
                with suppress(FileNotFoundError):
                    fs.rm_file(f"{path}/{name}")

    @cached_property
    def _opened(self) -> tuple[Any, str]:
        """The file system of fsspec, and the path in it."""
        import fsspec

        scheme = self.uri.partition("://")[0]
        try:
            fs, path = fsspec.url_to_fs(self.uri)
        except ImportError as error:
            cause = error.__cause__
            package = getattr(cause, "name", None) or error.name or scheme
            raise UsageError(
                f"{scheme}:// needs the Python package {package.partition('.')[0]}: install it"
            ) from error
        except Exception as error:  # whatever the package of a storage raises
            if scheme not in fsspec.available_protocols():
                raise UsageError(
                    f"there is no storage {scheme}:// (known are s3, gs, abfs, hdfs and others)"
                ) from error
            raise UsageError(f"cannot open {self.uri}: {_reason(error)}") from error
        return fs, path.rstrip("/")

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn errors of fsspec and of the packages of storages into one line."""
        try:
            yield
        except (StoreError, UsageError):
            raise
        except Exception as error:  # whatever the package of a storage raises
            if _is_lasting(error):
                raise UsageError(f"cannot use {self.uri}: {_reason(error)}") from error
            raise UnavailableError(f"{self.uri} does not answer: {_reason(error)}") from error


def _is_object_storage(fs: Any) -> bool:
    """Return whether a file is never seen incomplete while it is written."""
    return bool(getattr(fs, "async_impl", False)) or "memory" in fs.protocol


def _version(info: Mapping[str, Any]) -> str:
    keys = ("ETag", "etag", "md5Hash", "generation", "content_md5", "mtime", "last_modified")
    found = [info[key] for key in (*keys, "LastModified", "created") if info.get(key) is not None]
    return f"{info['size']} {found[0] if found else ''}"


def _is_lasting(error: BaseException) -> bool:
    return (
        isinstance(error, _LASTING)
        or getattr(error, "errno", None) in _LASTING_NUMBERS
        or bool(_SETTINGS.search(type(error).__name__))
    )


def _reason(error: BaseException) -> str:
    """The class of an error, and its code: the texts of such errors may hold credentials."""
    number = getattr(error, "errno", None)
    detail = _code(error)
    if not detail and isinstance(number, int) and number > 0:
        detail = os.strerror(number)
    return f"{type(error).__name__} ({detail})" if detail else type(error).__name__


def _code(error: BaseException | None) -> str:
    """The code of an error of botocore, or of what it was translated into; else nothing."""
    for of in (error, getattr(error, "__cause__", None)):
        response = getattr(of, "response", None)
        if isinstance(response, Mapping):
            return str(response.get("Error", {}).get("Code", ""))[:80]
    return ""
