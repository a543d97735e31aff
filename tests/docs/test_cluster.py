"""The job files for Kubernetes and Slurm are what the page shows, say what they must, and their entry points run."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from support.commands import events, named
from support.corpus import build_corpus
from support.folders import differing, tree_digest
from support.recipes import write_recipe

FOLDER = Path(__file__).resolve().parents[2] / "docs"
RAYJOB, SBATCH = FOLDER / "cluster" / "rayjob.yaml", FOLDER / "cluster" / "sluice.sbatch"
# Slurm's commands, for a job whose nodes are all this machine: options name nodes, what follows is run here.
STAND_INS = {
    "srun": 'while [[ "$1" == -* ]]; do shift; done; exec "$@"',
    "scontrol": "echo 127.0.0.1; echo 127.0.0.1",
    "sluice": f'exec {shlex.quote(sys.executable)} -m sluice.cli "$@"',
    "ray": f'exec {shlex.quote(sys.executable)} -m ray.scripts.scripts "$@"',
}


@pytest.fixture
def corpus_and_bin(tmp_path):
    """A folder with a recipe for each engine, and one with the commands that the entry points call."""
    commands = tmp_path / "bin"
    commands.mkdir()
    for name, script in STAND_INS.items():
        (commands / name).write_text(f"#!/bin/bash\n{script}\n")
        (commands / name).chmod(0o755)
    images = build_corpus(tmp_path / "images", 24)
    write_recipe(tmp_path / "local.yaml", images, run="local")
    write_recipe(tmp_path / "recipe.yaml", images, run="ray", engine="ray")
    path = os.pathsep.join(filter(None, sys.path))
    return tmp_path, {**os.environ, "PATH": f"{commands}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": path}


def run(command, folder, environment):
    """Run an entry point; its run must have been Ray's, and come to what the local engine comes to."""
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=150, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    (started,) = named(events(folder / "ray"), "run_started")
    assert started["engine"] == "ray"
    subprocess.run(["sluice", "run", "local.yaml"], cwd=folder, env=environment, check=True, capture_output=True)
    ignore = ["recipe.lock.yaml"]
    assert differing(tree_digest(folder / "local", ignore), tree_digest(folder / "ray", ignore)) == []


def test_the_page_shows_the_files():
    page = (FOLDER / "cluster.md").read_text()
    for path in (RAYJOB, SBATCH):
        assert path.read_text() in page, path.name


def test_the_job_for_kubernetes_is_one_that_goes_on_when_nodes_go():
    job = yaml.safe_load(RAYJOB.read_text())
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    spec = job["spec"]
    assert spec["backoffLimit"] > 0
    cluster = spec["rayClusterSpec"]
    assert cluster["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0", "the driver's node has no worker to lose"
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    for pod in (group["template"]["spec"] for group in groups):
        (container,) = pod["containers"]
        (mount,) = container["volumeMounts"]
        assert mount["mountPath"] == "/data", "the same path on every node"
        assert mount["name"] in {volume["name"] for volume in pod["volumes"]}
        assert container["resources"]["requests"] == container["resources"]["limits"]
    assert len({group["template"]["spec"]["containers"][0]["image"] for group in groups}) == 1
    versions = re.findall(r"rayproject/ray:([\d.]+)", (FOLDER / "cluster.md").read_text())
    assert versions == [cluster["rayVersion"]]


@pytest.mark.slow
def test_the_entry_point_of_the_job_for_kubernetes_runs(corpus_and_bin):
    pytest.importorskip("ray", reason="the extra `ray` is not installed")
    from support.raylets import Raylets

    folder, environment = corpus_and_bin
    entry = yaml.safe_load(RAYJOB.read_text())["spec"]["entrypoint"]
    raylets = Raylets(num_cpus=0)
    try:  # as Ray's job server starts it: by a shell, with the address of its cluster
        run(["sh", "-c", entry.replace("/data", str(folder))], folder, {**environment, "RAY_ADDRESS": raylets.address})
    finally:
        raylets.close()


def test_the_job_for_slurm_is_one_that_goes_on_when_nodes_go():
    lines = SBATCH.read_text().splitlines()
    assert lines[0] == "#!/bin/bash"
    options = [line.removeprefix("#SBATCH ") for line in lines if line.startswith("#SBATCH ")]
    assert {"--requeue", "--no-kill", "--ntasks-per-node=1"} <= set(options)
    assert subprocess.run(["bash", "-n", SBATCH], check=False).returncode == 0


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("bash"), reason="no bash")
def test_the_job_for_slurm_runs(corpus_and_bin):
    pytest.importorskip("ray", reason="the extra `ray` is not installed")
    folder, environment = corpus_and_bin
    slurm = {"NODELIST": "node[1-2]", "NUM_NODES": "2", "ID": str(os.getpid())}
    environment |= {f"SLURM_JOB_{name}": value for name, value in slurm.items()} | {"SLURM_CPUS_PER_TASK": "1"}
    run(["bash", SBATCH, "recipe.yaml"], folder, environment)
