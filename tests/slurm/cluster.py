"""A SLURM of one node on this machine's loopback, with pretend GPUs: what a lab's cluster answers, without a cluster.

Everything that it writes lies below one folder, its daemons listen on 127.0.0.1 alone, and exactly what `start` began
ends with `stop`, or with the process that called it, however that one ends (`keeper`). Needs the programs of Debian's
packages `slurm-wlm` and `munge`; memory limits are not enforced.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from getpass import getuser
from pathlib import Path

PROGRAMS = {"slurmctld": "slurm-wlm", "slurmd": "slurm-wlm", "sbatch": "slurm-wlm", "munged": "munge"}
CLIENTS = ("srun", "sbatch", "squeue", "scancel", "scontrol", "sinfo", "sacct")
DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random")  # a GPU is a character device; these exist everywhere
ENDS = (signal.SIGINT, signal.SIGTERM)
PATHS = ("/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin")


def missing_package() -> str | None:
    """Return the Debian package whose program is not installed here; None when all are."""
    return next((package for name, package in PROGRAMS.items() if _program(name) is None), None)


def _program(name: str) -> str | None:
    return shutil.which(name, path=os.pathsep.join((os.environ.get("PATH", ""), *PATHS)))


def _free_ports(count: int) -> list[int]:
    held = [socket.socket() for _ in range(count)]
    for one in held:
        one.bind(("127.0.0.1", 0))
    ports = [int(one.getsockname()[1]) for one in held]
    for one in held:
        one.close()
    return ports


@dataclass
class Cluster:
    """One node with `gpus` pretend GPUs (at most four) and `cpus` processors, of which more may be said than there are.

    Partitions: `cpu` (the default), `gpu`, and `spot`, whose jobs make way for those of the others.
    """

    folder: Path
    gpus: int = 2
    cpus: int = 8
    _keeper: subprocess.Popen[str] | None = field(default=None, repr=False)

    def start(self) -> None:
        """Write the configuration, start the daemons and wait for an idle node.

        Raises:
            RuntimeError: the node does not come up; the message ends with what the daemons logged.
        """
        for name in ("state", "spool", "log", "bin"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        self._write_configuration()
        keeper = [sys.executable, str(Path(__file__).with_name("keeper.py")), str(self.folder)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "start_new_session": True}
        self._keeper = subprocess.Popen(keeper, env=self.environment(), **pipes)
        key = self.folder / "munge.key"
        key.write_bytes(secrets.token_bytes(128))
        key.chmod(0o400)
        self._run(
            *(_program("munged"), "--force", "--foreground", "--num-threads=1", f"--key-file={key}"),
            *(f"--socket={self.folder}/munge.socket", f"--pid-file={self.folder}/munged.pid"),
            *(f"--log-file={self.folder}/log/munged.log", f"--seed-file={self.folder}/munge.seed"),
        )
        self._wait_for(lambda: (self.folder / "munge.socket").exists())
        for daemon in ("slurmctld", "slurmd"):
            self._run(_program(daemon), "-D", "-c")
        self._wait_for(lambda: self.say("sinfo", "-h", "-o", "%T").strip() in ("idle", "mixed"))

    def stop(self) -> None:
        """End the daemons and all jobs, and remove the folder."""
        if self._keeper:
            self._keeper.communicate(timeout=60)

    def environment(self, **more: str) -> dict[str, str]:
        """Return the environment in which this cluster's programs come first."""
        path = f"{self.folder}/bin{os.pathsep}{os.environ['PATH']}"
        return {**os.environ, "SLURM_CONF": str(self.folder / "slurm.conf"), "PATH": path, **more}

    def say(self, *command: str) -> str:
        """Return what one of the cluster's programs prints, errors among it."""
        ran = subprocess.run(command, env=self.environment(), capture_output=True, text=True, timeout=60)
        return ran.stdout + ran.stderr

    def jobs(self, form: str = "%i %T %j", *, state: str = "all") -> list[list[str]]:
        """Return the words of `squeue`, a list for each job."""
        return [line.split() for line in self.say("squeue", "-h", "-t", state, "-o", form).splitlines()]

    def _run(self, *command: str | None) -> None:
        """Start a daemon in the foreground of a session of its own."""
        assert self._keeper and self._keeper.stdin and self._keeper.stdout
        words = [str(word) for word in command]
        log = self.folder / "log" / f"{Path(words[0]).name}.out"
        self._keeper.stdin.write(json.dumps({"command": words, "log": str(log)}) + "\n")
        self._keeper.stdin.flush()
        assert self._keeper.stdout.readline().strip().isdigit(), f"{words[0]} cannot be started"

    def _wait_for(self, ready: object, seconds: float = 30.0) -> None:
        assert callable(ready)
        until = time.monotonic() + seconds
        while not ready():
            if time.monotonic() > until:
                logs = sorted((self.folder / "log").glob("*"))
                tails = [f"{log.name}: {log.read_text(errors='replace')[-600:]}" for log in logs]
                raise RuntimeError("the cluster does not come up\n" + "\n".join(tails))
            time.sleep(0.1)

    def _write_configuration(self) -> None:
        host, (control, node) = socket.gethostname().split(".")[0], _free_ports(2)
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20 - 512
        lines = (
            *(
                "ClusterName=local",
                f"SlurmctldHost={host}(127.0.0.1)",
                f"SlurmUser={getuser()}",
                f"SlurmdUser={getuser()}",
            ),
            # expired credentials hold a requeued job back: two minutes by default
            *(
                "AuthType=auth/munge",
                "CredType=cred/munge",
                f"AuthInfo=socket={self.folder}/munge.socket,cred_expire=5",
            ),
            *(f"SlurmctldPort={control}", f"SlurmdPort={node}", "CommunicationParameters=NoCtldInAddrAny,NoInAddrAny"),
            *(f"StateSaveLocation={self.folder}/state", f"SlurmdSpoolDir={self.folder}/spool"),
            *(f"SlurmctldPidFile={self.folder}/slurmctld.pid", f"SlurmdPidFile={self.folder}/slurmd.pid"),
            *(f"SlurmctldLogFile={self.folder}/log/slurmctld.log", f"SlurmdLogFile={self.folder}/log/slurmd.log"),
            # no control groups in a container: processes are found by their parents, and memory is not enforced
            *("ProctrackType=proctrack/linuxproc", "TaskPlugin=task/none", "JobAcctGatherType=jobacct_gather/none"),
            *("AccountingStorageType=accounting_storage/none", "MpiDefault=none", "MailProg=/bin/true"),
            *("SelectType=select/cons_tres", "SelectTypeParameters=CR_Core_Memory", "GresTypes=gpu"),
            *("SlurmdParameters=config_overrides", "DefMemPerCPU=512"),  # more processors than there are; a share each
            *("PreemptType=preempt/partition_prio", "PreemptMode=REQUEUE"),
            # finished jobs stay in sight, for there is no accounting to ask; five seconds from SIGTERM to SIGKILL
            *("MinJobAge=3600", "KillWait=5", "ReturnToService=2"),
            "SchedulerParameters=sched_interval=2,bf_interval=2,batch_sched_delay=1",
            f"NodeName={host} NodeAddr=127.0.0.1 CPUs={self.cpus} RealMemory={memory} Gres=gpu:fake:{self.gpus}",
            f"PartitionName=cpu Nodes={host} Default=YES MaxTime=1440 PriorityTier=10 PreemptMode=OFF",
            f"PartitionName=gpu Nodes={host} MaxTime=1440 PriorityTier=10 PreemptMode=OFF",
            f"PartitionName=spot Nodes={host} MaxTime=1440 PriorityTier=1 PreemptMode=REQUEUE GraceTime=10",
        )
        (self.folder / "slurm.conf").write_text("\n".join(lines) + "\n", encoding="utf-8")
        gres = [f"NodeName={host} Name=gpu Type=fake File={device}" for device in DEVICES[: self.gpus]]
        (self.folder / "gres.conf").write_text("\n".join(gres) + "\n", encoding="utf-8")
        for name in CLIENTS:  # the plugin's job step drops SLURM_CONF from the environment; these put it back
            client = self.folder / "bin" / name
            text = f"#!/bin/sh\nSLURM_CONF='{self.folder}/slurm.conf' exec {_program(name)} \"$@\"\n"
            client.write_text(text, encoding="utf-8")
            client.chmod(0o755)


def main() -> None:
    """Run a cluster until it is interrupted, and say how to use it."""
    if package := missing_package():
        sys.exit(f"{package} is not installed: apt-get install slurm-wlm munge")
    made = Cluster(Path(tempfile.mkdtemp(prefix="slurm-")))
    made.folder.chmod(0o755)
    made.start()
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDS)
    for number in ENDS:  # which a shell lets a command that it starts in the background ignore
        signal.signal(number, signal.SIG_DFL)
    print("In another terminal; the GPUs are pretended, so jobs that are given one compute on the CPU:")
    print(f"export SLURM_CONF={made.folder}/slurm.conf PATH={made.folder}/bin:$PATH HKD_DEVICE=auto")
    print("Ctrl-C here ends the cluster and all its jobs.", flush=True)
    signal.sigwait(ENDS)
    made.stop()


if __name__ == "__main__":
    main()
