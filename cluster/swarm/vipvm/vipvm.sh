#!/bin/bash
# vipvm.sh - run a command under a throw-away kernel that has IPVS, with Debian's dockerd running.
# The kernel is Debian's User Mode Linux, an ordinary program: no hypervisor, no emulation. docs/swarm.md says more.
set -euo pipefail

usage() {
  cat <<'EOF'
usage: vipvm.sh [OPTION...] -- COMMAND [ARG...]
  --share DIR      mount host DIR read-write in the guest, at the same path (repeatable)
  --env K=V        set a variable for COMMAND (repeatable)
  --mem MB         the guest's memory                           (default 3072)
  --no-docker      do not start dockerd
  --timeout S      give up after S seconds, exit 124             (default 3600, 0 = never)
  --prepare        install what is needed, then stop
The host's whole root is there, read-only under a tmpfs overlay: what COMMAND writes
outside --share is gone afterwards.  COMMAND runs as root in the caller's directory, on
one processor and with no network but its own; its stdout, stderr and exit status are
passed on.  vipvm's own failures exit 125, a guest that is late 124.
EOF
}

# ---------------------------------------------------------------- options
shares=() envs=() mem=3072 docker=1 limit=3600 prepare=0
while (($#)); do
  case $1 in
    --share)     shares+=("$(realpath -e -- "$2")"); shift ;;
    --env)       envs+=("$2"); shift ;;
    --mem)       mem=$2; shift ;;
    --no-docker) docker=0 ;;
    --timeout)   limit=$2; shift ;;
    --prepare)   prepare=1 ;;
    -h|--help)   usage; exit 0 ;;
    --)          shift; break ;;
    *)           usage >&2; exit 125 ;;
  esac
  shift
done
(($# || prepare)) || { usage >&2; exit 125; }

export PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C
T0=${EPOCHREALTIME/[.,]/}
say() {
  local ms=$(((${EPOCHREALTIME/[.,]/} - T0) / 1000))
  printf 'vipvm: [%3d.%02ds] %s\n' $((ms / 1000)) $((ms / 10 % 100)) "$*" >&2
}
die() { say "$*"; exit 125; }

W= GUEST=
cleanup() {
  local rc=$?
  trap - EXIT INT TERM HUP
  if [[ -n $GUEST ]]; then kill -KILL "$GUEST" 2>/dev/null || :; wait "$GUEST" 2>/dev/null || :; fi
  if [[ -n $W ]]; then rm -rf -- "$W"; fi
  exit "$rc"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# ---------------------------------------------------------------- packages (once)
need=()
for p in user-mode-linux kmod util-linux iproute2 docker.io containerd runc iptables; do
  [[ $(dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null) == installed ]] || need+=("$p")
done
command -v busybox >/dev/null || need+=(busybox)
if ((${#need[@]})); then
  say "apt-get install ${need[*]}"
  policy=/usr/sbin/policy-rc.d own=0       # no service may start on the host because of us
  if [[ ! -e $policy ]]; then printf '#!/bin/sh\nexit 101\n' >$policy; chmod +x $policy; own=1; fi
  log=$(mktemp) ok=0
  { apt-get -qq update || :
    DEBIAN_FRONTEND=noninteractive apt-get -qq -o APT::Sandbox::User=root -o Dpkg::Use-Pty=0 install -y --no-install-recommends "${need[@]}" && ok=1
  } </dev/null >"$log" 2>&1
  if ((own)); then rm -f $policy; fi
  ((ok)) || { tail -n 20 "$log" >&2; rm -f "$log"; die "apt-get install failed"; }
  rm -f "$log"
fi
if ((prepare)); then say "prepared: $(dpkg-query -W -f '${Package} ${Version}' user-mode-linux)"; exit 0; fi

# ---------------------------------------------------------------- what the guest does
# It reads these files from the host's root; $W/rw alone it may write.
for d in "${TMPDIR:-/tmp}"/vipvm.*.*; do   # what a script left that was killed
  pid=${d##*/vipvm.} pid=${pid%.*}
  if [[ -d $d && $pid =~ ^[0-9]+$ && ! -d /proc/$pid ]]; then rm -rf -- "$d"; fi
done
W=$(mktemp -d "${TMPDIR:-/tmp}/vipvm.$$.XXXXXX")
mkdir "$W/rw"
{
  printf 'W=%q docker=%q cwd=%q limit=%q\n' "$W" "$docker" "$PWD" "$((limit > 60 ? limit - 20 : 0))"
  printf 'shares=('; ((${#shares[@]})) && printf '%q ' "${shares[@]}"; echo ')'
  printf 'envs=(';   ((${#envs[@]})) && printf '%q ' "${envs[@]}"; echo ')'
  printf 'cmd=(';    printf '%q ' "$@"; echo ')'
} >"$W/conf"

cat >"$W/stage1" <<EOF
#!$(command -v busybox) sh
b='$(command -v busybox)' W='$W'
EOF
cat >>"$W/stage1" <<'EOF'
# PID 1: puts a writable layer on the host's root.
fail() { echo "$*"; $b poweroff -f; }
$b insmod /usr/lib/uml/modules/$($b uname -r)/kernel/fs/overlayfs/overlay.ko
$b mount -t tmpfs -o mode=755,size=80% layer /mnt || fail "no /mnt to mount on"
$b mkdir /mnt/upper /mnt/work /mnt/root
$b mount -t overlay -o lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work root /mnt/root || fail "cannot put a layer on the host's root"
cd /mnt/root
$b mkdir -p proc sys dev run mnt
$b mount -t proc proc proc
$b mount -t sysfs sys sys
$b mount -t devtmpfs dev dev
$b mount -t tmpfs -o mode=755 run run
$b pivot_root . mnt || fail "cannot enter the layer"
exec $b chroot . /bin/bash $W/stage2 <dev/console >dev/console 2>&1
EOF

cat >"$W/stage2" <<'EOF'
export PATH=/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/usr/local/bin:/usr/local/go/bin
export HOME=/root LANG=C.UTF-8 TERM=dumb VIPVM=1 DOCKER_HOST=unix:///var/run/docker.sock
. "${BASH_SOURCE%/*}/conf"
log=/var/log/vipvm-dockerd.log
mount -t hostfs -o "$W/rw" control "$W/rw"
stty raw -echo -F /dev/ttyS0
stty raw -echo -F /dev/ttyS1
off() { echo "$1" >"$W/rw/status"; sync; exec busybox poweroff -f; }
say() { echo "$*" >>"$W/rw/said"; }
fail() { say "$*"; off 125; }
look() {   # what hangs?
  echo "== vipvm: processes in the guest at its time limit"
  ps -eo pid,ppid,stat,wchan:24,time,args | cut -c1-160
  echo "== end of $log"; tail -n 15 $log; echo "== end of the kernel log"; dmesg | tail -n 15
}

mkdir -p /dev/pts /dev/shm /sys/fs/cgroup /run/lock
mount -t devpts -o gid=5,mode=620,ptmxmode=666 devpts /dev/pts
mount -t tmpfs -o mode=1777 shm /dev/shm
ln -sfn /proc/self/fd /dev/fd; ln -sfn fd/0 /dev/stdin; ln -sfn fd/1 /dev/stdout; ln -sfn fd/2 /dev/stderr
mount -t cgroup2 cgroup2 /sys/fs/cgroup
[[ -L /var/run ]] || { rm -rf /var/run; ln -s /run /var/run; }
for d in "${shares[@]}"; do
  mkdir -p "$d"
  mount -t hostfs -o "$d" share "$d" || fail "cannot mount $d"
done

krel=$(uname -r)
mkdir -p /lib/modules; ln -sfn "/usr/lib/uml/modules/$krel" "/lib/modules/$krel"
modprobe -a bridge br_netfilter veth vxlan ip_vs ip_vs_rr xt_ipvs nf_nat iptable_nat iptable_filter iptable_mangle \
  xt_addrtype xt_conntrack xt_MASQUERADE xt_nat xt_mark xt_tcpudp xt_REDIRECT 2>/run/modprobe.log || fail "modprobe: $(</run/modprobe.log)"
# This kernel has the older tables alone.
for c in ip{,6}tables{,-save,-restore}; do ln -sfn xtables-legacy-multi /usr/sbin/$c; done
hostname vipvm
printf '127.0.0.1 localhost vipvm\n::1 localhost\n' >/etc/hosts
ip link set lo up
sysctl -qw net.ipv4.ip_forward=1
ulimit -n 1048576
say "kernel $krel up, $(awk '/MemTotal/ { print int($2 / 1024) }' /proc/meminfo) MiB"

if ((docker)); then
  rm -rf /etc/docker; mkdir -p /var/lib/docker /etc/docker
  mount -t tmpfs -o mode=711,size=80% docker /var/lib/docker
  dockerd --storage-driver overlay2 -H "$DOCKER_HOST" >$log 2>&1 </dev/null &
  dpid=$!
  until grep -q 'API listen on' $log; do
    kill -0 $dpid 2>/dev/null || fail "dockerd died: $(tail -n 30 $log)"
    sleep 0.1
  done
  say 'dockerd ready'
fi

if ((limit)); then (sleep $limit; look >/dev/ttyS1 2>&1) & fi
( cd "$cwd" 2>/dev/null || cd /
  exec env "${envs[@]}" "${cmd[@]}" ) </dev/null >/dev/ttyS0 2>/dev/ttyS1
off $?
EOF
chmod +x "$W/stage1"

# ---------------------------------------------------------------- the guest
# Whatever becomes of this script, the guest's processes end with the first of them: they have a PID namespace of their own.
# The guest's memory is a file, in /dev/shm unless a variable says otherwise.
say "starting $(command -v linux.uml), $mem MiB"
exec 8>&1 9>&2
# On one processor: the kernel and its processes wake each other in turn, which costs three times as much across two.
cpu=$(taskset -pc $$ | grep -oE '[0-9]+$')
env -u TMPDIR -u TMP -u TEMP setpriv --pdeathsig KILL unshare --pid --fork --kill-child -- \
  taskset -c "$cpu" linux.uml "mem=${mem}M" rootfstype=hostfs root=hostfs ro "init=$W/stage1" "uml_dir=$W/uml" umid=vipvm \
  con=null con0=null,fd:1 ssl=null ssl0=null,fd:8 ssl1=null,fd:9 quiet </dev/null >"$W/console.log" 2>&1 8>&8 9>&9 &
GUEST=$!
exec 8>&- 9>&-

said=0
relay() {   # what the guest said since
  local line
  [[ -e $W/rw/said ]] || return 0
  while IFS= read -r line; do say "$line"; ((++said)); done < <(tail -n "+$((said + 1))" "$W/rw/said")
}
while kill -0 "$GUEST" 2>/dev/null; do
  relay
  if ((limit && (${EPOCHREALTIME/[.,]/} - T0) / 1000000 >= limit)); then
    say "gave up after $limit s"
    exit 124
  fi
  sleep 0.1
done
wait "$GUEST" || :
GUEST=
relay
if [[ ! -s $W/rw/status ]]; then tail -n 25 "$W/console.log" >&2; die "the guest ended without a result"; fi
status=$(<"$W/rw/status")
say "done, exit status $status"
exit "$status"
