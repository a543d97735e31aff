"""An object store as source and as place of a run: requests and bytes per 1,000 samples, with and without faults.

    python bench/stores.py --samples 2000

S3 is moto's server on loopback, which counts. Tars of noise JPEGs of about 50 kB with captions lie in it; a run reads
them there and lies there itself, stage by stage, each a process of its own; then the pack is verified and an epoch of
it is loaded. All of it is done twice: once as it is, once while 5% of all requests fail (refused, lost or cut short):
the checksums of both packs are the same. `largest` is the most that shards took of this machine's disk at any time.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import logging
import os
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from support.s3 import BUCKET, Faults, Request, Service, s3_service

RECIPE = """\
name: stores
run: {run}
sources: [{{type: webdataset, path: "s3://{bucket}/source/*.tar"}}]
filter: {{reject: {{tiny: min_side < 8}}}}
pack: [{{format: webdataset, shard_bytes: {shard}}}]
engine: {{workers: 2}}
"""
SHARD = 48 * 2**20
A_TAR = 500
EPOCH = """\
import sys, sluice
loader = sluice.Loader(sys.argv[1], 64, seed=1, cache=sys.argv[2])
print(sum(len(batch.ids) for batch in loader))
"""


def upload_source(service: Service, samples: int) -> int:
    """Tars of images of about 50 kB with captions; their bytes."""
    size = 0
    rng = np.random.default_rng(0)
    for start in range(0, samples, A_TAR):
        data = io.BytesIO()
        with tarfile.open(fileobj=data, mode="w") as tar:
            for number in range(start, min(start + A_TAR, samples)):
                image = io.BytesIO()
                noise = rng.integers(0, 256, (250, 250, 3), dtype=np.uint8)
                Image.fromarray(noise).save(image, "JPEG", quality=85)
                for name, body in (
                    (f"{number:06d}.jpg", image.getvalue()),
                    (f"{number:06d}.txt", f"noise number {number} in colours".encode()),
                ):
                    info = tarfile.TarInfo(name)
                    info.size = len(body)
                    tar.addfile(info, io.BytesIO(body))
        service.put(f"source/{start // A_TAR:04d}.tar", data.getvalue())
        size += len(data.getvalue())
    return size


def said(requests: list[Request], sent: int, thousands: float) -> str:
    """Requests by method and bytes, per 1,000 samples."""
    of = Counter(request.method for request in requests)
    methods = ", ".join(f"{name} {count / thousands:.1f}" for name, count in sorted(of.items()))
    got = sum(request.bytes for request in requests) / thousands / 2**20
    return (
        f"{len(requests) / thousands:7.1f} ({methods}); {got:6.1f} MiB read, {sent / thousands / 2**20:6.1f} MiB sent"
    )


class Watch:
    """The most bytes of shards that a folder ever held."""

    def __init__(self, folder: Path) -> None:
        self.most = 0
        self._folder, self._done = folder, threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._done.wait(0.02):
            held = 0
            for folder, _, names in os.walk(self._folder):  # passes over what goes while it looks
                for name in names:
                    if ".tar" in name and "receipts" not in folder:
                        with contextlib.suppress(FileNotFoundError):
                            held += os.stat(os.path.join(folder, name)).st_size
            self.most = max(self.most, held)


def one_round(service: Service, folder: Path, name: str, samples: int) -> str:
    """All stages, each told; the checksums of the pack."""
    run = f"s3://{BUCKET}/{name}"
    recipe = folder / f"{name}.yaml"
    recipe.write_text(RECIPE.format(run=run, bucket=BUCKET, shard=SHARD))
    os.environ["XDG_CACHE_HOME"] = str(folder / f"{name}-cache")
    sluice = [sys.executable, "-m", "sluice.cli"]
    steps = {
        "ingest": [*sluice, "run", str(recipe), "--only", "00_raw"],
        "measure, decide": [*sluice, "run", str(recipe), "--only", "01_filtered"],
        "pack": [*sluice, "run", str(recipe)],
        "nothing to do": [*sluice, "run", str(recipe)],
        "status": [*sluice, "status", run],
        "verify": [*sluice, "verify", run],
        "load an epoch": [sys.executable, "-c", EPOCH, run, str(folder / f"{name}-shards")],
    }
    for step, command in steps.items():
        service.requests.clear()
        sent = bytes_held(service, name)
        started = time.perf_counter()
        with Watch(folder / f"{name}-cache") as watch:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{step}: {done.stderr}")
        asked = list(service.requests)
        source = [one for one in asked if "/source" in one.path]
        others = [one for one in asked if "/source" not in one.path]
        sent = bytes_held(service, name) - sent
        print(f"{name}: {step}, {time.perf_counter() - started:.1f} s")
        if source:
            print(f"    source {said(source, 0, samples / 1000)}")
        print(f"    run    {said(others, sent, samples / 1000)}")
        if watch.most:
            print(f"    largest {watch.most / 2**20:.0f} MiB of shards on this disk")
    return service.objects(f"{name}/04_final")["SHA256SUMS"].decode()


def bytes_held(service: Service, name: str) -> int:
    """What lies in the store below `name`."""
    pages = service.client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=f"{name}/")
    held = sum(found["Size"] for page in pages for found in page.get("Contents", ()))
    service.requests.clear()
    return held


def main() -> None:
    """Print the table and a line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=2000)
    parser.add_argument("--folder", type=Path, help="where scratch files go; default: the system's")
    options = parser.parse_args()
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # moto's server: it would print every request
    with tempfile.TemporaryDirectory(dir=options.folder) as scratch, s3_service() as service:
        size = upload_source(service, options.samples)
        print(f"{options.samples:,} samples, {size / 2**20:.0f} MiB in the source; all counts are per 1,000 samples")
        plain = one_round(service, Path(scratch), "plain", options.samples)
        service.faults = Faults(0.05, 1)
        faulty = one_round(service, Path(scratch), "faulty", options.samples)
        kinds = service.faults.kinds
        service.faults = None
    print(json.dumps({"same pack": plain == faulty, "faults": kinds}))


if __name__ == "__main__":
    main()
