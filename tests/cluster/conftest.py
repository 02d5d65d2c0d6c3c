"""A Slurm cluster of two nodes on this machine: daemons, ports, keys and files of its own, all below one temporary folder.

Nothing of an installed Slurm is read or touched: every command finds the cluster's configuration through SLURM_CONF.
"""

import getpass
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import pytest

CONF = """\
ClusterName=dawgen
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ctld}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
SlurmUser={user}
SlurmdUser={user}
StateSaveLocation={folder}/state
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmdSpoolDir={folder}/spool-%n
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
GresTypes=gpu
ReturnToService=2
SlurmdTimeout=10
MinJobAge=3600
NodeName=node1 NodeHostname={host} NodeAddr=127.0.0.1 Port={node1} CPUs=1 RealMemory=8000 Gres=gpu:1
NodeName=node2 NodeHostname={host} NodeAddr=127.0.0.1 Port={node2} CPUs=1 RealMemory=8000 Gres=gpu:1
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""
# No cgroups: a container has none to give. The GPUs are made up: a device file that everybody may open.
GRES, CGROUP = "NodeName=node[1-2] Name=gpu File=/dev/null\n", "CgroupAutomount=no\n"
# Snakemake's job steps drop the variables of Slurm before they call srun, SLURM_CONF too: a cluster has its file in /etc.
SRUN = '#!/bin/sh\nSLURM_CONF={folder}/slurm.conf exec {srun} "$@"\n'
NEEDED = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scontrol")
SBIN = os.pathsep.join(["/usr/sbin", "/usr/local/sbin"])


class Cluster:
    """Daemons in the foreground, as children of the tests."""

    def __init__(self, folder: Path):
        self.folder, self.daemons = folder, {}
        self.env = os.environ | {"SLURM_CONF": str(folder / "slurm.conf")}
        self.env["PATH"] = os.pathsep.join([str(folder / "bin"), str(Path(sys.executable).parent), os.environ["PATH"], SBIN])
        ports = dict(zip(("ctld", "node1", "node2"), free_ports(3), strict=True))
        values = {"folder": folder, "host": socket.gethostname().partition(".")[0], "user": getpass.getuser(), **ports}
        srun = SRUN.format(folder=folder, srun=shutil.which("srun"))
        files = {"slurm.conf": CONF.format(**values), "gres.conf": GRES, "cgroup.conf": CGROUP, "bin/srun": srun}
        for name, text in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
        (folder / "bin" / "srun").chmod(0o755)
        (folder / "state").mkdir()
        (folder / "munge.key").write_bytes(os.urandom(128))
        (folder / "munge.key").chmod(0o400)

    def start(self) -> None:
        own = {name: f"--{name}-file={self.folder}/munge.{name}" for name in ("key", "pid", "seed", "log")}
        self._daemon("munged", "--force", "--foreground", f"--socket={self.folder}/munge.socket", *own.values())
        self.until(lambda: (self.folder / "munge.socket").exists(), "munged's socket")
        self._daemon("slurmctld", "-D")
        for node in ("node1", "node2"):
            self.start_node(node)
        self.until(lambda: self.states() == {"node1": "idle", "node2": "idle"}, "two idle nodes")

    def start_node(self, node: str) -> None:
        self._daemon(node, "-D", "-N", node, program="slurmd")

    def _daemon(self, name: str, *options: str, program: str = "") -> None:
        with open(self.folder / f"{name}.log", "ab") as log:
            self.daemons[name] = subprocess.Popen([program or name, *options], env=self.env, stdout=log, stderr=log)

    def ask(self, *command: str) -> str:
        """What a command of Slurm prints; nothing where it fails (the controller may not answer yet)."""
        return subprocess.run(command, env=self.env, capture_output=True, text=True, timeout=60).stdout

    def states(self) -> dict[str, str]:
        lines = self.ask("sinfo", "-h", "-N", "-o", "%N %t").split("\n")
        return dict(line.split() for line in lines if line)

    def jobs(self) -> list[dict[str, str]]:
        """Every job that was ever submitted, with Slurm's own words for its properties."""
        found = self.ask("scontrol", "--oneliner", "show", "job")
        lines = [line.split() for line in found.splitlines() if line.startswith("JobId=")]
        return [dict(word.split("=", 1) for word in words if "=" in word) for words in lines]

    def until(self, true, what: str, seconds: float = 60) -> None:
        """Waits for a condition; fails with what the daemons wrote when it takes too long, or one of them has died."""
        end = time.monotonic() + seconds
        while not true():
            if dead := [name for name, daemon in self.daemons.items() if daemon.poll() is not None]:
                pytest.fail(f"expected {what}, found {', '.join(dead)} dead\n{self.logs()}")
            if time.monotonic() > end:
                pytest.fail(f"expected {what} within {seconds:.0f} s, found none; {self.states()}\n{self.logs()}")
            time.sleep(0.5)

    def logs(self) -> str:
        texts = {path.name: path.read_text(errors="replace").splitlines() for path in sorted(self.folder.glob("*.log"))}
        return "\n".join(line for name, lines in texts.items() for line in [f"== {name}", *lines[-15:]])

    def kill_node(self, node: str) -> int:
        """Ends a node as a power cut does: its daemon, its jobs and all they started. How many processes of jobs died."""
        daemon = self.daemons.pop(node)
        daemon.kill()
        daemon.wait()
        return self.kill_jobs(node)

    def kill_jobs(self, node: str) -> int:
        """Slurm's step daemons first: they would tell of the end of the others."""
        steps = [one for one in psutil.process_iter() if one.name() == "slurmstepd" and self._serves(one, node)]
        for step in steps:
            step.kill()
        jobs = [one for one in psutil.process_iter() if self._runs_on(one, node)]
        for job in jobs:
            job.kill()
        return len(jobs)

    def _serves(self, step: psutil.Process, node: str) -> bool:
        sockets = [one.laddr for one in step.net_connections("unix")]
        return any(str(path).startswith(f"{self.folder}/spool-{node}/") for path in sockets)

    def _runs_on(self, process: psutil.Process, node: str) -> bool:
        try:
            env = process.environ()
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            return False
        return env.get("SLURMD_NODENAME") == node and f"{self.folder}/bin" in env.get("PATH", "").split(os.pathsep)

    def stop(self) -> None:
        for name in ("node1", "node2", "slurmctld", "munged"):
            if name in self.daemons:
                self.daemons[name].kill()
                self.daemons[name].wait()
        for node in ("node1", "node2"):
            self.kill_jobs(node)


def free_ports(n: int) -> list[int]:
    """Ports that nobody listens at: taken together, so that they differ."""
    sockets = [socket.socket() for _ in range(n)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


@pytest.fixture
def cluster():
    """Two idle nodes; skipped where Slurm is not installed (tests/requirements_plugin.py may forbid that)."""
    path = os.pathsep.join([os.environ["PATH"], SBIN])
    if missing := [name for name in NEEDED if not shutil.which(name, path=path)]:
        pytest.skip(f"no {', '.join(missing)} on the PATH: install Slurm and MUNGE (Debian: apt install slurm-wlm munge)")
    folder = Path(tempfile.mkdtemp(prefix="dawgen-slurm-"))  # a short path: sockets stand in it
    one = Cluster(folder)
    try:
        one.start()
        yield one
    finally:
        one.stop()
        shutil.rmtree(folder)
