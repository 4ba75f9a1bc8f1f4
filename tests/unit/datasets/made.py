"""Archives in the published layouts, made of what a test wants, whole or spoilt."""

import io
import pickle
import tarfile
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

REAL = Path(__file__).parents[4] / "shared" / "data"


def tar(path, members, mode="w:gz"):
    """Write members (name to bytes, or a TarInfo of something else) in their order."""
    with tarfile.open(path, mode) as archive:
        for name, contents in members.items():
            add(archive, name, contents)
    return path


def add(archive, name, contents):
    if isinstance(contents, tarfile.TarInfo):
        archive.addfile(contents)
        return
    info = tarfile.TarInfo(name)
    info.size = len(contents)
    archive.addfile(info, io.BytesIO(contents))


def link(name, target, kind=tarfile.SYMTYPE):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def zipped(path, members):
    with zipfile.ZipFile(path, "w") as archive:
        for name, contents in members.items():
            archive.writestr(name, contents)
    return path


def unpacked(folder, members):
    for name, contents in members.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(contents)
    return folder


def jpeg(seed, size=(40, 30), mode="RGB"):
    pixels = np.random.default_rng(seed).integers(0, 256, (*size[::-1], 3), np.uint8)
    stream = io.BytesIO()
    image = Image.fromarray(pixels).resize((8, 8)).resize(size, Image.Resampling.BILINEAR)
    image.convert(mode).save(stream, "JPEG")
    return stream.getvalue()


def cifar_batch(count, classes, seed, label_key=b"fine_labels"):
    rng = np.random.default_rng(seed)
    return {
        b"data": rng.integers(0, 256, (count, 3072), np.uint8),
        label_key: [row % classes for row in range(count)],
        b"filenames": [b"thing_s_%06d.png" % row for row in range(count)],
    }


def cifar100(train=30, test=12, classes=3):
    """Members of a CIFAR-100 archive, as batches that are still to be pickled."""
    return {
        "train": cifar_batch(train, classes, 0),
        "test": cifar_batch(test, classes, 1),
        "meta": {b"fine_label_names": [b"class%d" % number for number in range(classes)]},
    }


def pickled(members, folder="cifar-100-python"):
    return {f"{folder}/{name}": pickle.dumps(value, 2) for name, value in members.items()}


def food(classes=("pho", "ramen", "tacos"), per_class=8):
    """Members of a Food-101 archive: every fourth image is for testing."""
    images = {
        f"food-101/images/{name}/{number}.jpg": jpeg(number, (40 + number % 5, 30))
        for start, name in enumerate(classes)
        for number in range(start * 100, start * 100 + per_class)
    }
    entries = [name.removeprefix("food-101/images/").removesuffix(".jpg") for name in images]
    test = entries[::4]
    return {
        **images,
        "food-101/meta/classes.txt": "\n".join(classes).encode(),
        "food-101/meta/train.txt": "\n".join(e for e in entries if e not in test).encode() + b"\n",
        "food-101/meta/test.txt": "\n".join(test).encode(),
    }


def tiny(wnids=("n01", "n02", "n03"), train=6, val=4):
    """Members of a Tiny ImageNet archive; one image of each class is grey."""
    top = "tiny-imagenet-200"
    words = ["crane, a bird", "crane", "goldfish, Carassius auratus"]
    members = {
        f"{top}/wnids.txt": "\n".join(wnids).encode(),
        f"{top}/words.txt": "".join(
            f"{wnid}\t{word}\n" for wnid, word in zip(wnids, words, strict=True)
        ).encode(),
    }
    annotations = []
    for label, wnid in enumerate(wnids):
        members[f"{top}/train/{wnid}/{wnid}_boxes.txt"] = b""
        for number in range(train):
            mode = "L" if number == 0 else "RGB"
            image = jpeg(label * 100 + number, (64, 64), mode)
            members[f"{top}/train/{wnid}/images/{wnid}_{number}.JPEG"] = image
        for number in range(val):
            name = f"val_{label * val + number}.JPEG"
            members[f"{top}/val/images/{name}"] = jpeg(label * 100 + 50 + number, (64, 64))
            annotations.append(f"{name}\t{wnid}\t0\t0\t1\t1\n")
    members[f"{top}/test/images/test_0.JPEG"] = b"no label, so never looked at"
    members[f"{top}/val/val_annotations.txt"] = "".join(annotations).encode()
    return members


def npy(array):
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def corrupted(labels, corruptions=("gaussian_noise", "fog"), top="CIFAR-100-C"):
    """Members of a CIFAR-C archive: all pixels of row i are (i mod 251), plus 1 for the second."""
    rows = 5 * len(labels)
    members = {
        f"{top}/{name}.npy": npy(
            np.broadcast_to(
                ((np.arange(rows) + shift) % 251).astype(np.uint8)[:, None, None, None],
                (rows, 32, 32, 3),
            )
        )
        for shift, name in enumerate(corruptions)
    }
    return {**members, f"{top}/labels.npy": npy(np.tile(np.asarray(labels, np.uint8), 5))}


def real_food(count):
    with tarfile.open(REAL / "food-101.tar.gz") as archive:
        members = [member for member in archive if member.name.endswith(".jpg")][:count]
        return [archive.extractfile(member).read() for member in members]
