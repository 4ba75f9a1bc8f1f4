#!/usr/bin/env bash
# A Slurm of one node, for tests: `slurm.sh up` installs it from Debian's packages where they are
# missing and starts it by hand (no systemd, loopback only), `slurm.sh down` stops it and removes
# its configuration. Both may be repeated. Needs root.
#
# What the node claims to have; Slurm schedules by it, whatever the machine has:
#   SLURM_CPUS (8), SLURM_MEMORY_MB (64000), SLURM_GPUS (2: null devices)
# A job that uses more memory than it asked for is killed, as where cgroups enforce it.
set -euo pipefail

BASE=${SLURM_BASE:-/tmp/sidekick-slurm}
CPUS=${SLURM_CPUS:-8}
MEMORY_MB=${SLURM_MEMORY_MB:-64000}
GPUS=${SLURM_GPUS:-2}
HOST=$(hostname -s)
ETC=/etc/slurm
MARK='# written by sidekick/tests/cluster/slurm.sh'
PACKAGES=(munge slurmctld slurmd slurm-client slurm-wlm-basic-plugins)

die() { echo "slurm.sh: $*" >&2; exit 1; }

# How to tell `pytest` that there is no Slurm to be had here, and not that something is broken.
unavailable() { echo "slurm.sh: $*" >&2; exit 77; }

until_true() { # until_true SECONDS COMMAND…
  local end=$((SECONDS + $1)); shift
  until "$@" >/dev/null 2>&1; do
    [ $SECONDS -lt $end ] || return 1
    sleep 0.2
  done
}

is_running() { # is_running NAME: by the process id that we or the daemon recorded
  local file=$BASE/$1.pid
  [ -s "$file" ] && [ "$(ps -o comm= -p "$(cat "$file")" 2>/dev/null)" = "$1" ]
}

is_installed() {
  dpkg-query -W -f='${Status}' "$1" 2>/dev/null | grep -q '^install ok installed'
}

install_packages() {
  local missing=() package
  command -v dpkg-query >/dev/null || unavailable "not a Debian system"
  for package in "${PACKAGES[@]}"; do is_installed "$package" || missing+=("$package"); done
  [ ${#missing[@]} -gt 0 ] || return 0
  export DEBIAN_FRONTEND=noninteractive
  local get=(apt-get install -y -q --no-install-recommends "${missing[@]}")
  "${get[@]}" >"$BASE/apt.log" 2>&1 \
    || { apt-get update -q && "${get[@]}"; } >>"$BASE/apt.log" 2>&1 \
    || unavailable "cannot install ${missing[*]}: $(tail -1 "$BASE/apt.log")"
}

refuse_foreign() { # a Slurm that somebody else configured is not ours to touch
  local file
  for file in "$ETC/slurm.conf" "$ETC/gres.conf"; do
    [ ! -e "$file" ] || head -1 "$file" | grep -qF "$MARK" \
      || unavailable "$file belongs to another Slurm"
  done
}

configure() {
  local number
  install -d -m 755 "$BASE" "$BASE/spool" "$ETC"
  install -d -m 755 -o slurm -g slurm "$BASE/state"
  # slurmctld, which is not root, writes its process id and its log beside these folders.
  chown slurm "$BASE"
  for ((number = 0; number < GPUS; number++)); do
    [ -c "$BASE/gpu$number" ] || mknod "$BASE/gpu$number" c 1 3
  done
  { echo "$MARK"
    [ "$GPUS" -eq 0 ] || echo "Name=gpu File=$BASE/gpu[0-$((GPUS - 1))]"
  } >"$ETC/gres.conf"
  cat >"$ETC/slurm.conf" <<CONF
$MARK
ClusterName=sidekick
SlurmctldHost=$HOST(127.0.0.1)
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
AuthType=auth/munge
SlurmUser=slurm
SlurmdUser=root
StateSaveLocation=$BASE/state
SlurmdSpoolDir=$BASE/spool
SlurmctldPidFile=$BASE/slurmctld.pid
SlurmdPidFile=$BASE/slurmd.pid
SlurmctldLogFile=$BASE/slurmctld.log
SlurmdLogFile=$BASE/slurmd.log
MpiDefault=none
ReturnToService=2
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SchedulerParameters=batch_sched_delay=0,sched_interval=2,bf_interval=2
MinJobAge=300
KillWait=5
GresTypes=gpu
AccountingStorageType=accounting_storage/none
NodeName=$HOST NodeAddr=127.0.0.1 CPUs=$CPUS RealMemory=$MEMORY_MB Gres=gpu:$GPUS State=UNKNOWN
PartitionName=main Nodes=$HOST Default=YES MaxTime=INFINITE DefaultTime=60 State=UP
PartitionName=gpu Nodes=$HOST MaxTime=INFINITE DefaultTime=60 State=UP
CONF
}

start_munge() {
  munge -n 2>/dev/null | unmunge >/dev/null 2>&1 && return
  [ -s /etc/munge/munge.key ] || {
    dd if=/dev/urandom of=/etc/munge/munge.key bs=1 count=128 status=none
    chown munge:munge /etc/munge/munge.key
    chmod 400 /etc/munge/munge.key
  }
  install -d -m 755 -o munge -g munge /run/munge
  setpriv --reuid munge --regid munge --clear-groups munged --force
  until_true 10 sh -c 'munge -n | unmunge' || die "munged does not answer"
  cp /run/munge/munged.pid "$BASE/munged.pid"
}

node_is_usable() { sinfo -h -N -o %t | grep -Eq '^(idle|mix|alloc|comp)'; }

up() {
  [ "$(id -u)" = 0 ] || unavailable "needs root"
  mkdir -p "$BASE"
  refuse_foreign
  install_packages
  if is_running slurmctld && is_running slurmd; then
    scontrol update nodename="$HOST" state=resume 2>/dev/null || true
  else
    configure
    start_munge
    # A queue that a killed test left is not to be run now.
    is_running slurmctld || slurmctld -c
    is_running slurmd || slurmd
  fi
  until_true 30 sh -c 'scontrol ping | grep -q UP' || die "see $BASE/slurmctld.log"
  until_true 30 node_is_usable || { scontrol show node >&2; die "see $BASE/slurmd.log"; }
  sinfo -h -o '%P %c CPUs, %m MB, %G, %t'
}

stop() {
  is_running "$1" || return 0
  local process
  process=$(cat "$BASE/$1.pid")
  kill "$process"
  until_true 30 sh -c "! kill -0 $process" || kill -9 "$process"
}

queue_is_empty() { [ -z "$(squeue -h)" ]; }

down() {
  # Jobs first, so that nothing outlives the daemon that watches it.
  if is_running slurmctld; then
    scancel --full --partition main || true
    scancel --full --partition gpu || true
    until_true 30 queue_is_empty || true
  fi
  stop slurmd
  stop slurmctld
  stop munged
  # A configuration without a controller makes every start of snakemake wait for ten seconds.
  local file
  for file in "$ETC/slurm.conf" "$ETC/gres.conf"; do
    if [ -e "$file" ] && head -1 "$file" | grep -qF "$MARK"; then rm "$file"; fi
  done
  rm -rf "${BASE:?}"
}

case ${1:-} in
  up | down) "$1" ;;
  *) die "usage: slurm.sh up|down" ;;
esac
