"""Runs and packs in an object store: the bytes of the same run on a disk, whatever the store and the processes do."""

from __future__ import annotations

import json
import os
import random
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import sluice
from sluice.errors import RecipeError, RunError
from sluice.run.export_command import export
from sluice.run.recipe import recipe_from
from sluice.run.stored import working_copy
from sluice.run.takedown_command import Request, take_down
from sluice.run.verifying import verify_exported, verify_run
from sluice.table import mirror, remote
from support.commands import Launcher, last_events
from support.finished import finish
from support.folders import differing, tree_digest
from support.recipes import recipe_values, write_recipe
from support.s3 import BUCKET, Faults, Service

SECRET = "wJalrXUtnFEMI-K7MDENG-bPxRfiCYEXAMPLEKEY"
OF_THE_PLACE = ("recipe.lock.yaml", "DATASET_CARD.md", ".commits")


@pytest.fixture(scope="module")
def on_disk(tmp_path_factory: pytest.TempPathFactory, corpus: Path, launcher: Launcher) -> Path:
    """The same run on a disk: what all others are held against."""
    return finish(tmp_path_factory.mktemp("disk"), corpus, launcher) / "run"


class Machine:
    """A machine with an empty disk, which runs commands on runs in the store."""

    def __init__(self, folder: Path, corpus: Path, launcher: Launcher, url: str) -> None:
        self.cache, self.launcher, self.corpus = folder / "cache", launcher, corpus
        self.recipe = folder / "recipe.yaml"
        self.move(url)

    def move(self, url: str) -> None:
        """Work on another run."""
        self.url = url
        write_recipe(self.recipe, self.corpus, run=url)

    @property
    def order(self) -> dict[str, Any]:
        own = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
        return {"env": {**own, "XDG_CACHE_HOME": str(self.cache)}}

    @property
    def copy(self) -> Path:
        """The run's folder on this machine."""
        (found,) = (self.cache / "sluice/runs").iterdir()
        return found

    def run(self, *arguments: str | Path, **order: Any) -> Any:
        return self.launcher.run(*arguments, **self.order, **order)

    def start(self, *arguments: str | Path) -> Any:
        return self.launcher.start(*arguments, **self.order)


@pytest.fixture
def machines(tmp_path: Path, corpus: Path, launcher: Launcher, s3: Service) -> Iterator[Any]:
    """Makes machines that share a run in the store."""
    made: list[Machine] = []
    url = f"s3://{BUCKET}/{tmp_path.name}/run"

    def machine() -> Machine:
        made.append(Machine(tmp_path / f"machine-{len(made)}", corpus, launcher, url))
        return made[-1]

    yield machine


def key_of(url: str) -> str:
    return url.removeprefix(f"s3://{BUCKET}/")


def same_as(on_disk: Path, s3: Service, url: str, folder: Path) -> list[str]:
    """The files that are not those of the run on the disk."""
    there = s3.copied(key_of(url), folder)
    return differing(tree_digest(on_disk, OF_THE_PLACE), tree_digest(there, OF_THE_PLACE))


def shards_put(s3: Service) -> Counter[str]:
    """How often each shard was written."""
    puts = (request.path for request in s3.requests if request.method == "PUT" and request.status == 200)
    return Counter(Path(path).name for path in puts if "/shard-" in path and "/.state/" not in path)


def test_a_run_in_a_store_is_the_run_on_a_disk_and_any_machine_reads_it(
    on_disk: Path, machines: Any, s3: Service, tmp_path: Path
) -> None:
    first, second = machines(), machines()
    done = first.run("run", first.recipe)
    assert (done.code, done.out) == (0, f"{first.url}\n"), done.err
    assert same_as(on_disk, s3, first.url, tmp_path / "there") == []
    assert not [path for path in first.copy.rglob("*") if path.name.endswith((".tar", ".partial"))]

    s3.requests.clear()
    assert "04_final              done" in second.run("status", first.url).out
    assert len(s3.requests) <= 12
    run = sluice.Run.open(on_disk)
    one = run.samples("rejected").to_pylist()[0]["id"]
    for command in (("why", one), ("what-if", "--set", "soft: off"), ("curve", "--column", "sharpness")):
        here = second.launcher.run(command[0], on_disk, *command[1:])
        there = second.run(command[0], first.url, *command[1:])
        assert there.code == 0 and there.out == here.out
    for place in (first.url, f"{first.url}/04_final"):
        found = second.run("verify", place)
        assert found.code == 0 and "all as the manifest says" in found.out, found.err

    assert second.run("audit", first.url, "--n", "20").code == 0
    (sheet,) = second.copy.rglob("audit/*/sheet.csv")
    audit = second.launcher.run("audit", shutil.copytree(on_disk, tmp_path / "audited"), "--n", "20")
    (other,) = (tmp_path / "audited").rglob("audit/*/sheet.csv")
    assert audit.code == 0 and sheet.read_bytes() == other.read_bytes()

    batches = sluice.Loader(first.url, 8, seed=3, window=24, cache=tmp_path / "shards")
    here = sluice.Loader(on_disk, 8, seed=3, window=24)
    assert [batch.ids for batch in batches] == [batch.ids for batch in here]

    s3.requests.clear()
    assert second.run("run", second.recipe).code == 0  # all is done: nothing is written but the commits
    assert not shards_put(s3)


def test_what_a_run_costs_in_requests(machines: Any, s3: Service) -> None:
    machine = machines()
    assert machine.run("run", machine.recipe).code == 0
    asked = Counter(request.method for request in s3.requests if request.status < 300)
    files = len(s3.objects(key_of(machine.url)))
    assert asked["PUT"] <= files + 12  # each file once, and what changes while the run goes on
    assert asked["HEAD"] <= 12 + 2  # one a shard
    assert asked["GET"] <= 20 + 10  # listings, most of them, two a commit; none of them of a unit
    s3.requests.clear()
    assert machine.run("run", machine.recipe).code == 0
    assert len(s3.requests) <= 15


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow), pytest.param(2, marks=pytest.mark.slow)])
def test_a_service_that_fails_one_request_in_twenty_changes_nothing(
    on_disk: Path, machines: Any, s3: Service, tmp_path: Path, seed: int
) -> None:
    machine = machines()
    s3.faults = Faults(0.05, seed)
    done = machine.run("run", machine.recipe)
    assert done.code == 0, done.err
    s3.faults = Faults(0.05, seed + 100)
    other = machines()
    assert other.run("verify", machine.url).code == 0
    assert sum(s3.faults.kinds.values()) > 0
    s3.faults = None
    assert same_as(on_disk, s3, machine.url, tmp_path / "there") == []


def test_a_killed_run_goes_on_and_sends_no_shard_again_that_was_committed(
    on_disk: Path, machines: Any, s3: Service, tmp_path: Path
) -> None:
    machine = machines()
    command = machine.start("run", machine.recipe)
    while not command.ended() and not any(machine.cache.rglob("receipts/**/*.parquet")):
        time.sleep(0.002)
    while not command.ended() and sum(told["event"] == "shard_written" for told in last_events(machine.copy)) < 4:
        time.sleep(0.002)
    command.kill()
    command.wait()
    time.sleep(0.3)  # a worker may still be sending
    receipts = {path: pq.read_metadata(path).metadata for path in machine.copy.rglob("receipts/**/*.parquet")}
    sent = {
        "/".join(path.with_suffix("").parts[-3:])  # format, split, file
        for path, facts in receipts.items()
        if json.loads(facts[b"sluice.receipt"]).get("stored")
    }
    assert len(sent) >= 3
    s3.requests.clear()
    done = machine.run("run", machine.recipe)
    assert done.code == 0, done.err
    written = {"/".join(Path(request.path).parts[-3:]) for request in s3.requests if request.method == "PUT"}
    assert not sent & written
    assert same_as(on_disk, s3, machine.url, tmp_path / "there") == []


@pytest.mark.slow
@pytest.mark.parametrize("share", range(2))
def test_a_run_in_a_store_killed_at_any_instant_gives_the_same_bytes_here_and_on_another_machine(
    on_disk: Path, machines: Any, s3: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, inline: Any, share: int
) -> None:
    monkeypatch.setattr(mirror, "QUIET", 0.0)
    for number in range(share, 8, 2):
        rng = random.Random(number)
        machine = machines()
        machine.move(f"{machine.url}-{number}")
        command = machine.start("run", machine.recipe)
        wait_for(command, machine, rng.randrange(24))
        time.sleep(rng.random() ** 2 * 0.5)
        command.kill()
        command.wait()
        if number % 4 < 2:
            assert machine.run("run", machine.recipe).code == 0
        else:
            other = machines()
            other.move(machine.url)
            monkeypatch.setenv("XDG_CACHE_HOME", str(other.cache))
            sluice.run(other.recipe)
        assert same_as(on_disk, s3, machine.url, tmp_path / f"there-{number}") == [], f"kill {number}"


def wait_for(command: Any, machine: Machine, number: int) -> None:
    """Wait until the run has told `number` events, or has ended."""
    while not command.ended():
        told = [path.read_bytes().count(b"\n") for path in machine.cache.rglob("events.jsonl")]
        if told and told[0] >= number:
            return
        time.sleep(0.005)


@pytest.mark.slow
def test_a_source_in_the_store_too_gives_the_same_pack_though_one_request_in_twenty_fails(
    on_disk: Path, machines: Any, s3: Service, corpus: Path, tmp_path: Path
) -> None:
    machine = machines()
    source = {"type": "folder", "path": s3.upload(corpus, f"{tmp_path.name}/images"), "name": "photos"}
    write_recipe(machine.recipe, corpus, run=machine.url, sources=[source])
    s3.faults = Faults(0.05, 5)
    done = machine.run("run", machine.recipe)
    kinds, s3.faults = s3.faults.kinds, None
    assert done.code == 0, done.err
    assert all(kinds.values()), kinds
    sums = s3.objects(f"{key_of(machine.url)}/04_final")["SHA256SUMS"]
    assert sums == (on_disk / "04_final/SHA256SUMS").read_bytes()


def test_another_machine_goes_on_where_a_killed_one_was(
    on_disk: Path, machines: Any, s3: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = machines(), machines()
    assert first.run("run", first.recipe, "--only", "01_filtered").code == 0
    command = first.start("run", first.recipe)
    while not command.ended() and not any(first.cache.rglob("receipts/**/*.parquet")):
        time.sleep(0.002)
    command.kill()
    assert command.wait().code != 0
    refused = second.run("run", second.recipe)
    assert refused.code == 2 and "worked in it" in refused.err and "if it was killed run again in" in refused.err
    monkeypatch.setattr(mirror, "QUIET", 0.0)
    monkeypatch.setenv("XDG_CACHE_HOME", str(second.cache))
    s3.requests.clear()
    run = sluice.run(second.recipe)
    events = [told["event"] for told in last_events(run.layout.root)]
    assert "unit_measured" not in events  # measured on the first machine
    assert same_as(on_disk, s3, first.url, tmp_path / "there") == []


def test_of_two_who_work_in_one_run_one_commits_and_the_other_is_told(
    on_disk: Path, machines: Any, s3: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, inline: Any
) -> None:
    first, second = machines(), machines()
    monkeypatch.setattr(mirror, "QUIET", 0.0)
    taken: list[str] = []

    def meanwhile(event: dict[str, Any]) -> None:
        if event["event"] == "stage_done" and event["stage"] == "01_filtered" and not taken:
            taken.append("now")
            monkeypatch.setenv("XDG_CACHE_HOME", str(second.cache))
            sluice.run(second.recipe)

    monkeypatch.setenv("XDG_CACHE_HOME", str(first.cache))
    with pytest.raises(RunError, match=r"has gone on with it since; this process ends"):
        sluice.run(first.recipe, listener=meanwhile)
    assert taken
    assert same_as(on_disk, s3, first.url, tmp_path / "there") == []


def test_no_credentials_are_written_anywhere(
    machines: Any, s3: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
    monkeypatch.setenv("AWS_SESSION_TOKEN", f"token-{SECRET}")
    machine = machines()
    told = [machine.run("run", machine.recipe), machine.run("status", machine.url), machine.run("verify", machine.url)]
    assert told[0].code == 0, told[0].err
    with s3.only_known_users():
        denied = machine.run("run", machine.recipe)
    assert denied.code == 2 and "access denied" in denied.err
    s3.copied(key_of(machine.url), tmp_path / "there")
    paths = [path for path in tmp_path.rglob("*") if path.is_file()]
    kept = [path.read_bytes() for path in paths]
    kept += [str(pq.read_table(path).to_pylist()).encode() for path in paths if path.suffix == ".parquet"]
    kept += [f"{done.out}{done.err}".encode() for done in (*told, denied)]
    for secret in (SECRET, "AKIAIOSFODNN7EXAMPLE"):
        assert not [data[:80] for data in kept if secret.encode() in data]


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("s3://key:secret@bucket/run", "holds a user name or a key; credentials come from the environment"),
        ("s3://bucket/run?X-Amz-Signature=abc", "ends in a query, as signed URLs do"),
        ("https://bucket.s3.amazonaws.com/run", "is a web address, to which nothing can be written"),
        ("s3://bucket", "names no folder in a bucket"),
    ],
)
def test_a_url_that_cannot_hold_a_run_is_refused_and_its_secret_not_repeated(
    url: str, said: str, tmp_path: Path, corpus: Path
) -> None:
    with pytest.raises(RecipeError, match=f"run: {said}") as refused:
        recipe_from(recipe_values(corpus, run=url), tmp_path)
    assert "secret" not in str(refused.value) and "abc" not in str(refused.value)
    with pytest.raises(RunError) as asked:
        sluice.Run.open(url)
    assert "secret" not in str(asked.value) and "abc" not in str(asked.value)


@pytest.mark.parametrize(
    ("path", "what"),
    [
        ("s3://key:secret@bucket/a.tar", "a user name or a key"),
        ("https://host/a.tar?X-Amz-Credential=k&X-Amz-Signature=secret", "a signature"),
        ("https://account.blob.core.windows.net/c/a.tar?sv=2024&sig=secret", "a signature"),
    ],
)
def test_a_source_whose_url_is_a_key_is_refused(path: str, what: str, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=rf"sources\[?.?0.*path: holds {what}, which would be copied") as refused:
        recipe_from(recipe_values(path, sources=[{"type": "webdataset", "path": path}]), tmp_path)
    assert "secret" not in str(refused.value)
    recipe_from(recipe_values(path, sources=[{"type": "webdataset", "path": "https://host/a.tar?v=3"}]), tmp_path)


def test_a_place_that_holds_something_else_is_left_alone(machines: Any, s3: Service) -> None:
    machine = machines()
    s3.put(f"{key_of(machine.url)}/mine.txt", b"precious")
    done = machine.run("run", machine.recipe)
    assert done.code == 2 and "something lies there already that no run of ours committed" in done.err
    assert s3.objects(key_of(machine.url)) == {"mine.txt": b"precious"}


def test_a_format_of_many_files_is_refused_before_anything_is_read(machines: Any, corpus: Path) -> None:
    machine = machines()
    write_recipe(machine.recipe, corpus, run=machine.url, pack=[{"format": "llava"}])
    done = machine.run("run", machine.recipe)
    assert done.code == 2 and "llava cannot be written into a store" in done.err


def test_a_takedown_rewrites_the_shard_in_the_store_though_its_source_is_gone(
    s3: Service, tmp_path: Path, corpus: Path, monkeypatch: pytest.MonkeyPatch, inline: Any
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    images = Path(shutil.copytree(corpus, tmp_path / "images"))
    url = f"s3://{BUCKET}/{tmp_path.name}/taken"
    run = sluice.run(write_recipe(tmp_path / "recipe.yaml", images, run=url))
    gone = run.samples("kept").to_pylist()[0]["id"]
    copy = f"s3://{BUCKET}/{tmp_path.name}/copy"
    export(run, ["webdataset"], into=copy)
    shutil.rmtree(images)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "another"))
    (tmp_path / "ids.txt").write_text(gone)
    before = s3.objects(f"{tmp_path.name}/taken/04_final")
    done = take_down(sluice.Run.open(url), Request(tmp_path / "ids.txt"))
    assert (done.matched, done.shards_rewritten, done.copies) == (1, 2, (copy,))
    after = s3.objects(f"{tmp_path.name}/taken/04_final")
    changed = {name for name in before if before[name] != after.get(name) and "/shard-" in name}
    assert len(changed) == 2 and not [name for name in after if gone.encode() in after[name] and name in changed]
    assert verify_run(sluice.Run.open(url).layout).fine
    assert not list(working_copy(url).rglob("*.tar"))


def test_a_pack_is_exported_into_a_store_and_brought_up_to_date_there(
    on_disk: Path, s3: Service, tmp_path: Path, inline: Any
) -> None:
    folder = Path(shutil.copytree(on_disk.parent, tmp_path / "run"))
    lock = folder / "run/recipe.lock.yaml"
    lock.write_text(lock.read_text().replace(str(on_disk.parent), str(folder)))
    run, url = sluice.Run.open(folder / "run"), f"s3://{BUCKET}/{tmp_path.name}/pack"
    done = export(run, ["webdataset", "mds"], into=url)
    assert (done.folder, done.written) == (url, done.shards)
    assert verify_exported(url).fine
    there = s3.objects(f"{tmp_path.name}/pack")
    here = {path.relative_to(on_disk).as_posix(): path for path in (on_disk / "04_final/webdataset").rglob("*.tar")}
    assert all(there[name.removeprefix("04_final/")] == path.read_bytes() for name, path in here.items())
    s3.requests.clear()
    assert export(run, ["webdataset", "mds"], into=url).written == 0
    assert not shards_put(s3)
    s3.delete(f"{tmp_path.name}/pack/mds/train/shard-000001.mds")
    assert export(run, ["webdataset", "mds"], into=url).written == 1
    assert verify_exported(url).fine
    with pytest.raises(RecipeError, match="coco cannot be written into a store"):
        export(run, ["coco"], into=url)


def test_a_store_that_replaces_files_though_asked_not_to_is_refused(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, inline: Any
) -> None:
    import fsspec

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    files = fsspec.filesystem("memory")
    plain = files.pipe_file
    with monkeypatch.context() as careless:
        careless.setattr(type(files), "pipe_file", lambda self, path, data, mode="": plain(path, data))
        with pytest.raises(
            RunError, match=r"memory://careless/run: this store replaces files though it is asked not to"
        ):
            sluice.run(write_recipe(tmp_path / "recipe.yaml", corpus, run="memory://careless/run"))
    remote.filesystem("memory://careless")  # and one that does not is taken
    run = sluice.run(write_recipe(tmp_path / "recipe.yaml", corpus, run="memory://careful/run"))
    assert verify_run(run.layout).fine
