"""Small real slices of the benchmarks in their genuine layouts, served over HTTP."""

import hashlib
import io
import pickle
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np

from sidekick.datasets.corruptions import corrupt
from workflow.project import ROOT

DATA = ROOT.parent / "shared" / "data"


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve a folder's files; give the URL."""
    handler = partial(_Quiet, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


def md5(path: Path) -> str:
    """Give a file's checksum as a config writes it."""
    return "md5:" + hashlib.md5(path.read_bytes()).hexdigest()


def read_cifar100() -> dict[str, dict]:
    """Give the pickles of the CIFAR-100 slice."""
    with tarfile.open(DATA / "cifar-100-python.tar.gz") as archive:
        return {
            name: pickle.load(archive.extractfile(f"cifar-100-python/{name}"), encoding="bytes")
            for name in ("train", "test", "meta")
        }


def make_cifar10(path: Path) -> None:
    """Write ten classes of the CIFAR-100 slice in the layout of CIFAR-10."""
    parts = read_cifar100()
    batches = {}
    for name, part in (("train", parts["train"]), ("test", parts["test"])):
        labels = np.array(part[b"fine_labels"])
        batches[name] = [part, np.flatnonzero(labels < 10), labels]
    files = {"batches.meta": {b"label_names": parts["meta"][b"fine_label_names"][:10]}}
    for number, rows in enumerate(np.array_split(batches["train"][1], 5), 1):
        files[f"data_batch_{number}"] = _batch(*batches["train"][::2], rows)
    files["test_batch"] = _batch(*batches["test"][::2], batches["test"][1])
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            _add(archive, f"cifar-10-batches-py/{name}", pickle.dumps(content, protocol=2))


def _batch(part: dict, labels: np.ndarray, rows: np.ndarray) -> dict:
    return {
        b"data": part[b"data"][rows],
        b"labels": labels[rows].tolist(),
        b"filenames": [part[b"filenames"][row] for row in rows],
    }


def make_cifar100_c(path: Path, corruptions: list[str]) -> None:
    """Write corrupted copies of the slice's test images in the layout of CIFAR-100-C."""
    part = read_cifar100()["test"]
    images = part[b"data"].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    names = [str(row) for row in range(len(images))]
    arrays = {"labels": np.tile(np.array(part[b"fine_labels"], np.uint8), 5)}
    for name in corruptions:
        arrays[name] = np.concatenate(
            [corrupt(images, name, severity, names) for severity in range(1, 6)]
        )
    with tarfile.open(path, "w") as archive:
        for name, array in arrays.items():
            buffer = io.BytesIO()
            np.save(buffer, array)
            _add(archive, f"CIFAR-100-C/{name}.npy", buffer.getvalue())


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))
