"""Fetching a list of URLs, against img2dataset without resizing: images/s and peak memory, same server, same cores.

    python bench/urls.py --peer PYTHON [--urls 20000] [--rounds 3] [--hosts 200] [--latency 0.02]
    python bench/urls.py --memory 10000 200000

`PYTHON` is an interpreter that has img2dataset (an environment of its own: it wants older packages). The server answers
on every address of 127.0.0.0/8, each a host of its own, and is the same process for both, which run in turn.
img2dataset is given what makes it fastest: no re-encoding, no EXIF, no retries, a process a core. It has no robots.txt
nor keeps connections; ours is set to no pause between requests, as it has none. Each image is different, some 30 KB
(`--small`: 2 KB, so that a long list is bound by what a URL costs, not by the disk).

What is counted: images stored, wall seconds, seconds of CPU over the process tree, and the largest sum of PSS of it.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from processes import watched

PORT = 18_741


class Server(asyncio.Protocol):
    """Answers every GET with an image of its own, as cheaply as Python can."""

    latency = 0.0
    bodies: tuple[bytes, ...] = ()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.buffer = b""

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while b"\r\n\r\n" in self.buffer:
            head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
            path = head.split(b" ", 2)[1]
            close = b"connection: close" in head.lower()
            if self.latency:
                asyncio.get_running_loop().call_later(self.latency, self.answer, path, close)
            else:
                self.answer(path, close)

    def answer(self, path: bytes, close: bool) -> None:
        if path == b"/robots.txt":
            self.transport.write(b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n")
        else:
            number = path.rpartition(b"/")[2].partition(b".")[0]
            body = self.bodies[int(number) % len(self.bodies)] + number.zfill(12)
            head = b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n" % len(body)
            self.transport.write(head + (b"Connection: close\r\n\r\n" if close else b"\r\n") + body)
        if close:
            self.transport.close()


def serve(latency: float, small: bool) -> None:
    import io

    from PIL import Image

    rng = random.Random(1)
    bodies: list[bytes] = []
    for _ in range(64):
        side, data = rng.randrange(96, 400) // (6 if small else 1), io.BytesIO()
        noise = Image.frombytes("RGB", (side // 4, side // 4), rng.randbytes(3 * (side // 4) ** 2))
        noise.resize((side, side)).save(data, "JPEG", quality=90)
        bodies.append(data.getvalue())
    Server.bodies, Server.latency = tuple(bodies), latency

    async def run() -> None:
        server = await asyncio.get_running_loop().create_server(Server, "0.0.0.0", PORT, backlog=4096)
        print(f"{sum(map(len, bodies)) // len(bodies):,}", flush=True)
        await server.serve_forever()

    asyncio.run(run())


@dataclass
class Cost:
    seconds: float
    cpu: float
    peak: float
    images: int


def measured(command: list[str], folder: Path) -> Cost:
    """What a command took; its output goes to a file."""
    before, started = os.times(), time.perf_counter()
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)
        with watched(process.pid, 0.2) as memory:
            code = process.wait()
            seconds = time.perf_counter() - started
    after = os.times()
    if code:
        raise SystemExit(f"{command[:4]} failed:\n{(folder / 'log').read_text()[-3000:]}")
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    images = 0
    for path in folder.rglob("*.tar"):
        with tarfile.open(path) as tar:
            images += sum(member.name.endswith((".jpg", ".jpeg")) for member in tar)
    return Cost(seconds, cpu, memory.peak, images)


def write_list(path: Path, count: int, hosts: int) -> None:
    rng = random.Random(2)
    names = [f"127.0.{1 + at // 250}.{1 + at % 250}" for at in range(hosts)]
    urls = [f"http://{rng.choice(names)}:{PORT}/i/{number}.jpg" for number in range(count)]
    pq.write_table(pa.table({"url": urls, "caption": [f"picture {number}" for number in range(count)]}), path)


def ours(listed: Path, options: argparse.Namespace) -> Cost:
    with tempfile.TemporaryDirectory(prefix="sluice-urls-", dir=options.scratch) as name:
        folder = Path(name)
        fetch = {"allow": ["127.0.0.0/8"], "delay": 0, "per_host": 64, "concurrency": options.concurrency}
        recipe = {
            "name": "bench",
            "run": "run",
            "sources": [{"type": "urls", "path": str(listed), "fetch": fetch}],
            "measures": ["image.header"],
            "filter": {"reject": {"tiny": "min_side < 1"}, "duplicates": {"near": None}},
            "pack": [{"format": "webdataset"}],
        }
        (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
        return measured([sys.executable, "-m", "sluice.cli", "run", "recipe.yaml", "--only", "00_raw"], folder)


def theirs(listed: Path, options: argparse.Namespace) -> Cost:
    with tempfile.TemporaryDirectory(prefix="img2dataset-", dir=options.scratch) as name:
        folder = Path(name)
        arguments = {
            "url_list": listed,
            "input_format": "parquet",
            "url_col": "url",
            "caption_col": "caption",
            "output_format": "webdataset",
            "output_folder": folder / "out",
            "processes_count": options.processes,
            "thread_count": options.threads,
            "resize_mode": "no",
            "disable_all_reencoding": True,
            "extract_exif": False,
            "number_sample_per_shard": max(1000, min(10_000, options.urls // options.processes)),
            "enable_wandb": False,
        }
        plain = {name: str(value) if isinstance(value, Path) else value for name, value in arguments.items()}
        call = f"from img2dataset import download\nif __name__ == '__main__':\n    download(**{plain!r})\n"
        (folder / "peer.py").write_text(call)
        return measured([options.peer, "peer.py"], folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", help="a Python that has img2dataset")
    parser.add_argument("--urls", type=int, default=20_000)
    parser.add_argument("--hosts", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--latency", type=float, default=0.02, help="seconds before each answer")
    parser.add_argument("--concurrency", type=int, default=256, help="ours")
    parser.add_argument("--processes", type=int, default=len(os.sched_getaffinity(0)), help="theirs")
    parser.add_argument("--threads", type=int, default=128, help="theirs, a process")
    parser.add_argument("--memory", type=int, nargs="+", help="only ours, on lists of these lengths")
    parser.add_argument("--scratch", type=Path, default=None, help="a folder for what is fetched")
    parser.add_argument("--small", action="store_true", help="images of some 2 KB")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.latency, options.small)
        return
    command = [sys.executable, __file__, "--serve", "--latency", str(options.latency)]
    command += ["--small"] if options.small else []
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        print(f"images of {server.stdout.readline().strip()} bytes, {options.hosts} hosts, {options.latency} s latency")
        with tempfile.TemporaryDirectory(prefix="lists-", dir=options.scratch) as name:
            listed = Path(name) / "list.parquet"
            for count in options.memory or ():
                write_list(listed, count, options.hosts)
                _tell(f"sluice, {count:,}", ours(listed, options))
            if options.memory:
                return
            write_list(listed, options.urls, options.hosts)
            ratios: list[float] = []
            for _ in range(options.rounds):
                mine = ours(listed, options)
                _tell("sluice", mine)
                if options.peer:
                    other = theirs(listed, options)
                    _tell("img2dataset", other)
                    ratios.append(mine.images / mine.seconds / (other.images / other.seconds))
            if ratios:
                print(f"images/s, sluice over img2dataset: {', '.join(f'{ratio:.2f}' for ratio in ratios)}")
    finally:
        server.send_signal(signal.SIGKILL)
        server.wait()


def _tell(name: str, cost: Cost) -> None:
    print(
        f"{name:<16} {cost.images:>8,} images {cost.images / cost.seconds:>8,.0f} images/s {cost.seconds:>7.1f} s "
        f"{cost.cpu:>7.1f} s of CPU {cost.peak:>7,.0f} MB at the peak",
        flush=True,
    )


if __name__ == "__main__":
    main()
