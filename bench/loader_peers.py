"""The other loaders of bench/loader.py, in an interpreter that has them.

    pip install torch webdataset mosaicml-streaming litdata datasets simplejpeg

`convert` writes the format that each is best at; `run` goes through it once. Shuffling is on, with each one's defaults.
Decoding is the user's in all of them: `pil` decodes in full with Pillow, as their own image types do; `draft` at the
scale that serves, the fastest that Pillow has; `same` is Sluice's own decoder, so that the loaders alone are compared.
"""

import argparse
import io
import json
import os
import shutil
from pathlib import Path

import numpy as np
import torch

from loader_timing import BATCH, SIDE, measure

_kept = torch.library.Library("torchvision", "DEF")
try:
    import torchvision  # noqa: F401
except RuntimeError:  # a torchvision that was built for another torch: name its missing operators, so that it imports
    _kept.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _kept.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

from PIL import Image  # noqa: E402
from torch.utils.data import DataLoader  # noqa: E402

SHARD = 64 * 2**20  # bytes


def pil(data: bytes) -> np.ndarray:
    return _square(Image.open(io.BytesIO(data)))


def draft(data: bytes) -> np.ndarray:
    image = Image.open(io.BytesIO(data))
    image.draft("RGB", (SIDE, SIDE))
    return _square(image)


def _square(image: Image.Image) -> np.ndarray:
    image = image.convert("RGB")
    side = min(image.size)
    left, top = (image.width - side) / 2, (image.height - side) / 2
    box = (left, top, left + side, top + side)
    return np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BILINEAR, box=box))


class Same:
    """Sluice's decoder; made late, so that the others run without Sluice."""

    def __call__(self, data: bytes) -> np.ndarray:
        from sluice.load.decode import Pixels
        from sluice.load.reading import Sample

        return Pixels(SIDE)(Sample("", (data,), None)).image


DECODERS = {"raw": None, "pil": pil, "draft": draft, "same": Same()}


class Collate:
    """The images of a batch: bytes as they are, or one tensor. Decodes in the worker."""

    def __init__(self, decode, field) -> None:
        self.decode, self.field = decode, field

    def __call__(self, samples):
        data = [sample[self.field] for sample in samples]
        if self.decode is None:
            return data
        return torch.from_numpy(np.stack([self.decode(one) for one in data]))


class Named:
    """A batch with a name: mosaicml-streaming counts the samples of one by it."""

    def __init__(self, collate) -> None:
        self.collate = collate

    def __call__(self, samples):
        return {"jpg": self.collate(samples)}


def plain(batches):
    """The batches without their name."""
    return (batch["jpg"] if isinstance(batch, dict) else batch for batch in batches)


def pairs(corpus: Path):
    for path in sorted(corpus.rglob("*.jpg")):
        yield path.stem, path.read_bytes(), path.with_suffix(".txt").read_text()


def one_pair(path: str) -> dict:
    return {"jpg": Path(path).read_bytes(), "txt": Path(path).with_suffix(".txt").read_text()}


def convert(peer: str, corpus: Path, folder: Path) -> None:
    if peer == "webdataset":
        import webdataset

        folder.mkdir(parents=True)
        with webdataset.ShardWriter(f"{folder}/%06d.tar", maxsize=SHARD, verbose=0) as out:
            for key, data, text in pairs(corpus):
                out.write({"__key__": key, "jpg": data, "txt": text})
    elif peer == "mosaicml":
        from streaming import MDSWriter

        columns = {"jpg": "bytes", "txt": "str"}
        with MDSWriter(out=str(folder), columns=columns, size_limit=SHARD) as out:
            for _, data, text in pairs(corpus):
                out.write({"jpg": data, "txt": text})
    elif peer == "litdata":
        import litdata

        files = [str(path) for path in sorted(corpus.rglob("*.jpg"))]
        litdata.optimize(one_pair, files, str(folder), chunk_bytes="64MB", num_workers=1)
    elif peer == "datasets":
        import pyarrow
        import pyarrow.parquet

        folder.mkdir(parents=True)
        schema = pyarrow.schema({"jpg": pyarrow.binary(), "txt": pyarrow.string()})
        files = sorted(corpus.rglob("*.jpg"))
        size = SHARD // 57_000
        for number, at in enumerate(range(0, len(files), size)):
            rows = [one_pair(str(path)) for path in files[at : at + size]]
            table = pyarrow.Table.from_pylist(rows, schema)
            pyarrow.parquet.write_table(table, folder / f"{number:05d}.parquet", row_group_size=100, compression="none")


def loader(peer: str, folder: Path, mode: str, workers: int):
    """A fresh loader over the data, and how to skip on it where it has no state."""
    collate = Collate(DECODERS[mode], "jpg")
    options = {"batch_size": BATCH, "num_workers": workers, "collate_fn": collate}
    if peer == "webdataset":
        import webdataset

        shards = sorted(str(path) for path in folder.glob("*.tar"))
        dataset = webdataset.WebDataset(shards, shardshuffle=len(shards), empty_check=False).shuffle(1000)
        dataset = dataset.batched(BATCH, collation_fn=collate)
        return webdataset.WebLoader(dataset, batch_size=None, num_workers=workers)
    if peer == "mosaicml":
        import streaming

        streaming.base.util.clean_stale_shared_memory()
        dataset = streaming.StreamingDataset(local=str(folder), shuffle=True, batch_size=BATCH)
        options["collate_fn"] = Named(collate)
        return streaming.StreamingDataLoader(dataset, **options)
    if peer == "litdata":
        import litdata

        return litdata.StreamingDataLoader(litdata.StreamingDataset(str(folder), shuffle=True), **options)
    import datasets

    files = sorted(str(path) for path in folder.glob("*.parquet"))
    dataset = datasets.load_dataset("parquet", data_files=files, streaming=True, split="train")
    dataset = dataset.shuffle(seed=0, buffer_size=1000)
    made = DataLoader(dataset, **options)
    made.stated = dataset
    return made


def state(peer: str, made) -> object:
    if peer == "datasets":
        return made.stated.state_dict()
    return made.state_dict() if hasattr(made, "state_dict") else None


def resumed(peer: str, made, saved: object, steps: int):
    """The loader's batches from `saved` on; from the beginning, past `steps` of them, where there is no state."""
    if saved is None:
        batches = iter(made)
        for _ in range(steps):
            next(batches)
        return batches
    (made.stated if peer == "datasets" else made).load_state_dict(saved)
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=["convert", "run", "save", "resume"])
    parser.add_argument("peer", choices=["webdataset", "mosaicml", "litdata", "datasets"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--corpus", type=Path)
    parser.add_argument("--mode", default="raw", choices=list(DECODERS))
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--steps", type=int, help="batches before the state is saved")
    options = parser.parse_args()
    if options.command == "convert":
        shutil.rmtree(options.folder, ignore_errors=True)
        convert(options.peer, options.corpus, options.folder)
        return
    __import__({"mosaicml": "streaming"}.get(options.peer, options.peer))
    if options.mode == "same":
        import sluice.load.decode  # noqa: F401

    def make():
        return loader(options.peer, options.folder, options.mode, options.workers)

    kept = options.folder.with_suffix(".state")
    if options.command == "run":
        measure(lambda: plain(make()))
    elif options.command == "save":
        made = make()
        for number, _ in enumerate(made, 1):
            if number == options.steps:
                break
        torch.save(state(options.peer, made), kept)
    else:
        saved = torch.load(kept, weights_only=False)
        measure(lambda: plain(resumed(options.peer, make(), saved, options.steps)), most=1)


if __name__ == "__main__":
    main()
    print(json.dumps({}), flush=True)
    os._exit(0)  # some libraries take seconds to end, or say things
