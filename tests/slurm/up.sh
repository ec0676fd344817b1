#!/usr/bin/env bash
# A SLURM of one node on this machine: installs it (Debian, Ubuntu; as root) and starts it, once or again.
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive
conf=/etc/slurm/slurm.conf node="$(hostname -s)"

is_up() { [ "$(sinfo --noheader --format=%T 2>/dev/null | grep -cE '^(idle|mixed|allocated)$')" != 0 ]; }
no() { echo "make slurm: $1" >&2; exit 1; }

if command -v sinfo >/dev/null && is_up; then sinfo; exit 0; fi
[ "$(id -u)" = 0 ] || no "needs root, to install and start SLURM; run it as root, or in a container"
[ ! -e "$conf" ] || grep -q '^ClusterName=entense$' "$conf" ||
  no "$conf is of another cluster; start that one, or move the file away"

command -v slurmctld >/dev/null && command -v munged >/dev/null || {
  command -v apt-get >/dev/null || no "there is no apt-get here; install slurm and munge, then run it again"
  apt-get update -qq
  apt-get install -y -qq slurm-wlm munge >/dev/null
}

install -d /etc/slurm /var/spool/entense-slurmd /var/spool/entense-slurmctld /var/log/slurm
install -d -o munge -g munge -m 711 /run/munge
cat > "$conf" <<EOF
ClusterName=entense
SlurmctldHost=$node(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
StateSaveLocation=/var/spool/entense-slurmctld
SlurmdSpoolDir=/var/spool/entense-slurmd
SlurmctldLogFile=/var/log/slurm/slurmctld.log
SlurmdLogFile=/var/log/slurm/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
ReturnToService=2
KillWait=2
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_min_interval=0,batch_sched_delay=0
NodeName=$node NodeAddr=127.0.0.1 CPUs=$(nproc) RealMemory=$(awk '/MemTotal/ {print int($2 / 1024 * 0.9)}' /proc/meminfo)
PartitionName=debug Nodes=$node Default=YES MaxTime=INFINITE State=UP
EOF

pgrep -x munged >/dev/null || runuser -u munge -- munged
pgrep -x slurmctld >/dev/null || slurmctld -c || no "slurmctld does not start; see /var/log/slurm"
pgrep -x slurmd >/dev/null || slurmd -c || no "slurmd does not start; see /var/log/slurm"
for _ in $(seq 60); do if is_up; then break; fi; sleep 0.5; done
is_up || no "it does not answer; see /var/log/slurm"
sinfo
srun --ntasks=1 true
