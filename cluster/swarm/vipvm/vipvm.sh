#!/bin/bash
# vipvm.sh - run a command in a throw-away VM whose kernel has IPVS, with Debian's dockerd running.
# docs/swarm.md says what it is for and how long it takes.
set -euo pipefail

usage() {
  cat <<'EOF'
usage: vipvm.sh [OPTION...] -- COMMAND [ARG...]
  --share DIR      mount host DIR read-write in the VM, at the same path (repeatable)
  --publish H:G    host 127.0.0.1:H -> VM eth0:G, TCP (repeatable)
  --env K=V        set a variable for COMMAND (repeatable)
  --cpus N         virtual CPUs                                  (default 2)
  --mem MB         VM memory                                     (default 4096)
  --disk SIZE      Docker's data root on a sparse ext4 disk, e.g. 20G (default: tmpfs)
  --net            let the VM reach the outside by user-mode NAT (default: shut in)
  --no-docker      do not start dockerd
  --timeout S      give up after S seconds, exit 124             (default 3600, 0 = never)
  --accel A        auto | kvm | tcg                              (default auto)
  --console FILE   keep the kernel console log in FILE
  --prepare        install and unpack what is needed, then stop
  --prepared       install nothing: fail if anything is missing
The host's whole root is there, read-only under a tmpfs overlay: what COMMAND writes
outside --share is gone afterwards.  COMMAND runs as root in the caller's directory;
its stdout, stderr and exit status are passed on.  vipvm's own failures exit 125,
a VM that gives no sign of life any more 123, one that is late 124.
EOF
}

# ---------------------------------------------------------------- options
shares=() pubs=() envs=() cpus=2 mem=4096 disk= net=0 docker=1 limit=3600 accel=auto console= prepare=0 prepared=0
while (($#)); do
  case $1 in
    --share)   shares+=("$(realpath -e -- "$2")"); shift ;;
    --publish) [[ $2 =~ ^[0-9]+:[0-9]+$ ]] || { usage >&2; exit 125; }; pubs+=("$2"); shift ;;
    --env)     envs+=("$2"); shift ;;
    --cpus)    cpus=$2; shift ;;
    --mem)     mem=$2; shift ;;
    --disk)    disk=$2; shift ;;
    --net)     net=1 ;;
    --no-docker) docker=0 ;;
    --timeout) limit=$2; shift ;;
    --accel)   accel=$2; shift ;;
    --console) console=$(realpath -- "$2"); shift ;;
    --prepare) prepare=1 ;;
    --prepared) prepared=1 ;;
    -h|--help) usage; exit 0 ;;
    --)        shift; break ;;
    *)         usage >&2; exit 125 ;;
  esac
  shift
done
(($# || prepare)) || { usage >&2; exit 125; }
cwd=$PWD freeze=${VIPVM_FREEZE:-60}

export PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C
CACHE=${VIPVM_CACHE:-/var/tmp/vipvm}
T0=${EPOCHREALTIME/[.,]/}
tick() { ms=$(((${EPOCHREALTIME/[.,]/} - T0) / 1000)); }
say() { tick; printf 'vipvm: [%3d.%02ds] %s\n' $((ms / 1000)) $((ms / 10 % 100)) "$*" >&2; }
die() { say "$*"; exit 125; }

W= QPID= P_OUT= P_ERR=
cleanup() {
  local rc=$?
  trap - EXIT INT TERM HUP
  if [[ -n $QPID ]]; then kill -KILL "$QPID" 2>/dev/null || :; wait "$QPID" 2>/dev/null || :; fi
  if [[ -n $W ]]; then rm -rf -- "$W"; fi
  exit "$rc"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# ---------------------------------------------------------------- packages and kernel (once)
mkdir -p "$CACHE"
exec {lock}>"$CACHE/lock"
flock "$lock"

updated=0
apt() {
  if ((!updated)); then updated=1; apt-get -qq update || :; fi
  if (($#)); then DEBIAN_FRONTEND=noninteractive apt-get -qq -o APT::Sandbox::User=root -o Dpkg::Use-Pty=0 "$@"; fi
} </dev/null >>"$CACHE/apt.log" 2>&1
need=()
for p in qemu-system-x86 busybox-static kmod cpio xz-utils util-linux iproute2 e2fsprogs \
         docker.io containerd runc iptables ipvsadm; do
  [[ $(dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null) == installed ]] || need+=("$p")
done
if ((prepared)) && { ((${#need[@]})) || [[ ! -e $CACHE/kernel/ok ]]; }; then
  die "not prepared (missing: ${need[*]:-the kernel}); run first: vipvm.sh --prepare"
fi
if ((${#need[@]})); then
  say "apt-get install ${need[*]}"
  policy=/usr/sbin/policy-rc.d own=0       # no service may start on the host because of us
  if [[ ! -e $policy ]]; then printf '#!/bin/sh\nexit 101\n' >$policy; chmod +x $policy; own=1; fi
  ok=0; apt install -y --no-install-recommends "${need[@]}" && ok=1
  if ((own)); then rm -f $policy; fi
  ((ok)) || { tail -n 20 "$CACHE/apt.log" >&2; die "apt-get install failed"; }
fi

if [[ ! -e $CACHE/kernel/ok ]]; then
  pkg=${VIPVM_KERNEL:-}
  if [[ -z $pkg ]]; then
    apt
    pkg=$(apt-cache depends linux-image-amd64 | sed -n 's/.*Depends: \(linux-image-[0-9].*\)/\1/p' | head -n1)
  fi
  [[ -n $pkg ]] || die "no Debian kernel package found"
  say "fetching and unpacking $pkg"
  rm -rf "$CACHE/kernel" "$CACHE/dl"; mkdir -p "$CACHE/dl" "$CACHE/kernel"
  (cd "$CACHE/dl" && apt download "$pkg") || die "apt-get download $pkg failed"
  skip=(); for d in sound drivers/{gpu,media,scsi,infiniband,staging,iio,hwmon,usb,input,mtd,video,isdn} \
                    drivers/net/{ethernet,wireless,usb,can}; do skip+=(--exclude="./lib/modules/*/kernel/$d"); done
  dpkg-deb --fsys-tarfile "$CACHE"/dl/*.deb |
    tar -x -C "$CACHE/kernel" --wildcards "${skip[@]}" ./boot ./lib
  krel=$(ls "$CACHE/kernel/lib/modules")
  depmod -b "$CACHE/kernel" "$krel"
  # The bare ELF image boots through PVH: no BIOS loader, no xz to unpack in an emulated CPU.
  v=$CACHE/kernel/boot/vmlinuz-$krel
  for off in $(grep -abo $'\xfd7zXZ' "$v" | cut -d: -f1); do
    tail -c "+$((off + 1))" "$v" | xz -dc --single-stream >"$CACHE/kernel/vmlinux" 2>/dev/null || :
    [[ $(head -c4 "$CACHE/kernel/vmlinux") == $'\x7fELF' ]] && break
  done
  [[ $(head -c4 "$CACHE/kernel/vmlinux") == $'\x7fELF' ]] || cp "$v" "$CACHE/kernel/vmlinux"
  rm -rf "$CACHE/dl"
  echo "$krel" >"$CACHE/kernel/ok"
fi
krel=$(<"$CACHE/kernel/ok")
kernel=$CACHE/kernel/vmlinux

# ---------------------------------------------------------------- does KVM really run a stock kernel?
W=$(mktemp -d "${TMPDIR:-/tmp}/vipvm.XXXXXX")
base=(-nodefaults -no-user-config -display none -no-reboot -kernel "$kernel")
ulimit -c 0
if [[ $accel == auto ]]; then
  accel=tcg
  probe=$CACHE/kvm-$(</proc/sys/kernel/random/boot_id)
  if [[ -e $probe ]]; then accel=$(<"$probe")
  elif [[ -c /dev/kvm ]]; then
    mkdir -p "$W"/probe/{bin,dev}; cp /bin/busybox "$W/probe/bin/"
    printf '#!/bin/busybox sh\n/bin/busybox echo KVM-WORKS\n/bin/busybox poweroff -f\n' >"$W/probe/init"
    chmod +x "$W/probe/init"
    mknod "$W/probe/dev/console" c 5 1
    (cd "$W/probe" && find . | cpio -o -H newc --quiet >"$W/probe.cpio")
    # in a subshell, so that an aborting qemu makes no noise
    ( timeout -k 1 10 qemu-system-x86_64 "${base[@]}" -accel kvm -cpu host -m 256 -initrd "$W/probe.cpio" \
        -append 'console=ttyS0 quiet panic=-1' -serial stdio || : ) </dev/null >"$W/probe.log" 2>&1
    if grep -q KVM-WORKS "$W/probe.log"; then accel=kvm; fi
    rm -f "$CACHE"/kvm-*; echo "$accel" >"$probe"
    say "/dev/kvm probed: using $accel"
  fi
fi
flock -u "$lock"
exec {lock}>&-
if ((prepare)); then say "prepared: kernel $krel, accelerator $accel, cache $CACHE"; exit 0; fi

# ---------------------------------------------------------------- initramfs
I=$W/initramfs
mkdir -p "$I"/{bin,dev,proc,sys,mods,lower,up,new,vm}
cp /bin/busybox "$I/bin/"
mknod "$I/dev/console" c 5 1
early=(virtio_pci virtio_console 9pnet_virtio 9p overlay)
for m in "${early[@]}"; do modprobe -S "$krel" -d "$CACHE/kernel" --show-depends "$m"; done |
  awk '$1 == "insmod" && !seen[$2]++ { print $2 }' >"$I/mods/from"
while read -r m; do cp "$m" "$I/mods/"; echo "${m##*/}"; done <"$I/mods/from" >"$I/mods/order"
cp /bin/busybox "$I/vm/"

tick
{
  printf 'limit=%q ' $((limit > 60 ? limit - ms / 1000 - 20 : 0))
  printf 'krel=%q cache=%q docker=%q net=%q cwd=%q disk=%q\n' "$krel" "$CACHE" "$docker" "$net" "$cwd" "$disk"
  printf 'shares=('; ((${#shares[@]})) && printf '%q ' "${shares[@]}"; echo ')'
  printf 'envs=(';   ((${#envs[@]})) && printf '%q ' "${envs[@]}"; echo ')'
  printf 'cmd=(';    printf '%q ' "$@"; echo ')'
} >"$I/vm/conf"

cat >"$I/init" <<'EOF'
#!/bin/busybox sh
b=/bin/busybox
$b --install -s /bin
export PATH=/bin
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
while read m; do insmod /mods/$m; done </mods/order
mount -t tmpfs -o mode=755 up /up; mkdir /up/u /up/w
mount -t 9p -o ro,trans=virtio,version=9p2000.L,msize=512000,cache=loose hostroot /lower
mount -t overlay -o lowerdir=/lower,upperdir=/up/u,workdir=/up/w root /new
for d in proc sys dev run; do mkdir -p /new/$d; done
mount -t proc proc /new/proc; mount -t sysfs sys /new/sys; mount -t devtmpfs dev /new/dev
mount -t tmpfs -o mode=755 run /new/run
mkdir /new/run/vipvm; cp /vm/* /new/run/vipvm/
umount /proc /sys /dev
exec switch_root /new /run/vipvm/stage2
EOF

cat >"$I/vm/stage2" <<'EOF'
#!/bin/bash
# PID 1 in the VM, on the host's root under an overlay.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/usr/local/bin:/usr/local/go/bin
export HOME=/root LANG=C.UTF-8 TERM=dumb VIPVM=1 DOCKER_HOST=unix:///var/run/docker.sock
. /run/vipvm/conf
log=/var/log/vipvm-dockerd.log
port() {   # the virtio serial port named $1
  local p i
  for ((i = 0; i < 100; i++)); do
    for p in /sys/class/virtio-ports/*; do
      if [[ -e $p/name && $(<"$p/name") == "$1" ]]; then echo "/dev/${p##*/}"; return; fi
    done
    sleep 0.05
  done
}
off() { sync; exec /run/vipvm/busybox poweroff -f; }
exec 3>"$(port ctl)"
say() { echo "STAGE $*" >&3; }
exec 4>"$(port out)" 5>"$(port err)"
fail() { say "$*"; echo 'RC 125' >&3; off; }
look() {   # what hangs?
  echo "== vipvm: processes in the VM at its time limit"
  ps -eo pid,ppid,stat,wchan:24,time,args | cut -c1-160
  echo "== end of $log"; tail -n 15 $log; echo "== end of the kernel log"; dmesg | tail -n 15
}
mkfifo /run/vipvm/nap /run/vipvm/out /run/vipvm/err
(
  exec {nap}<>/run/vipvm/nap      # never written to: a sleep that forks nothing
  while :; do
    read -r -t 2 -u "$nap" || (($? > 128)) || exit
    echo HB >&3
    if ((limit && SECONDS > limit)); then look >&5 2>&1; limit=0; fi
  done
) 4>&- &

mkdir -p /dev/pts /dev/shm /sys/fs/cgroup /run/lock
mount -t devpts -o gid=5,mode=620,ptmxmode=666 devpts /dev/pts
mount -t tmpfs -o mode=1777 shm /dev/shm
ln -sfn /proc/self/fd /dev/fd; ln -sfn fd/0 /dev/stdin; ln -sfn fd/1 /dev/stdout; ln -sfn fd/2 /dev/stderr
mount -t cgroup2 cgroup2 /sys/fs/cgroup
[[ -L /var/run ]] || { rm -rf /var/run; ln -s /run /var/run; }
mkdir -p /lib/modules; ln -sfn "$cache/kernel/lib/modules/$krel" "/lib/modules/$krel"

i=0
for d in "${shares[@]}"; do
  mkdir -p "$d"
  mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000,cache=mmap "share$i" "$d" || fail "cannot mount $d"
  ((++i))
done

hostname vipvm
printf '127.0.0.1 localhost vipvm\n::1 localhost\n' >/etc/hosts
modprobe -a virtio_net bridge br_netfilter veth vxlan ip_vs ip_vs_rr xt_ipvs nf_nat nft_compat nft_chain_nat \
  xt_addrtype xt_conntrack xt_MASQUERADE xt_nat xt_mark xt_tcpudp xt_REDIRECT >/run/vipvm/modprobe.log 2>&1 ||
  fail "modprobe: $(</run/vipvm/modprobe.log)"
ip link set lo up
ip link set eth0 up
ip addr add 10.0.2.15/24 dev eth0
if ((net)); then
  ip route add default via 10.0.2.2; rm -f /etc/resolv.conf; echo 'nameserver 10.0.2.3' >/etc/resolv.conf
fi
sysctl -qw net.ipv4.ip_forward=1
ulimit -n 1048576
say "kernel $krel up: $(nproc) CPUs, $(awk '/MemTotal/ { print int($2 / 1024) }' /proc/meminfo) MiB, clock $(</sys/devices/system/clocksource/clocksource0/current_clocksource)"

if ((docker)); then
  rm -rf /etc/docker; mkdir -p /var/lib/docker /etc/docker
  if [[ -n $disk ]]; then
    modprobe -a virtio_blk ext4
    for ((i = 0; i < 100; i++)); do [[ -b /dev/vda ]] && break; sleep 0.05; done
    mount -o noatime /dev/vda /var/lib/docker || fail "cannot mount the data disk: $(dmesg | tail -n 2)"
  else
    mount -t tmpfs -o mode=711,size=80% docker /var/lib/docker
  fi
  dockerd --storage-driver overlay2 -H "$DOCKER_HOST" >$log 2>&1 </dev/null 3>&- 4>&- 5>&- &
  dpid=$!
  until grep -q 'API listen on' $log; do
    kill -0 $dpid 2>/dev/null || { tail -n 30 $log >&5; fail 'dockerd died'; }
    sleep 0.05
  done
  say 'dockerd ready'
fi

cat /run/vipvm/out >&4 3>&- 5>&- & c1=$!
cat /run/vipvm/err >&5 3>&- 4>&- & c2=$!
exec 4>&- 5>&-
( cd "$cwd" 2>/dev/null || cd /
  exec 3>&-
  exec env "${envs[@]}" "${cmd[@]}" ) </dev/null >/run/vipvm/out 2>/run/vipvm/err
rc=$?
# what the command left running may hold the pipes: give them a second to drain, no more
for ((i = 0; i < 20; i++)); do
  kill -0 $c1 2>/dev/null || kill -0 $c2 2>/dev/null || break
  sleep 0.05
done
echo "RC $rc" >&3
off
EOF
chmod +x "$I/init" "$I/vm/stage2"
(cd "$I" && find . | LC_ALL=C sort | cpio -o -H newc --quiet >"$W/initramfs.cpio")

# ---------------------------------------------------------------- the machine
cpu=host
[[ $accel == kvm ]] || { accel=tcg,thread=multi,tb-size=512; cpu=${VIPVM_CPU:-Westmere,+rdrand}; }
fwd=; for p in "${pubs[@]}"; do fwd+=",hostfwd=tcp:127.0.0.1:${p%:*}-10.0.2.15:${p#*:}"; done
((net)) && restrict=off || restrict=on
args=("${base[@]}" -name vipvm -M pc,usb=off,vmport=off -accel "$accel" -cpu "$cpu" -smp "$cpus" -m "$mem"
  -initrd "$W/initramfs.cpio"
  -append "${VIPVM_APPEND:-quiet loglevel=4}"' console=ttyS0 panic=-1 mitigations=off apparmor=0 audit=0 random.trust_cpu=on tsc=reliable no_timer_check'
  -serial "file:$W/console.log"
  -chardev "pipe,id=mon,path=$W/mon" -mon chardev=mon
  -device virtio-serial-pci
  -chardev file,id=ctl,path=/dev/fd/1,append=on -device virtserialport,chardev=ctl,name=ctl
  -chardev file,id=out,path=/dev/fd/8,append=on -device virtserialport,chardev=out,name=out
  -chardev file,id=err,path=/dev/fd/9,append=on -device virtserialport,chardev=err,name=err
  -netdev "user,id=n0,ipv6=off,restrict=$restrict$fwd" -device virtio-net-pci,netdev=n0,romfile=
  -fsdev local,id=root,path=/,security_model=passthrough,readonly=on,multidevs=remap
  -device virtio-9p-pci,fsdev=root,mount_tag=hostroot)
n=0
for d in "${shares[@]}"; do
  args+=(-fsdev "local,id=s$n,path=${d//,/,,},security_model=passthrough,multidevs=remap"
         -device "virtio-9p-pci,fsdev=s$n,mount_tag=share$n")
  n=$((n + 1))
done
if [[ -n $disk ]]; then
  truncate -s "$disk" "$W/disk"; mkfs.ext4 -q -F -O ^has_journal -E lazy_itable_init=1,nodiscard "$W/disk"
  args+=(-drive "file=$W/disk,if=none,id=d0,format=raw,cache=unsafe,discard=unmap" -device virtio-blk-pci,drive=d0)
fi

say "booting: $accel, $cpus CPUs, $mem MiB"
mkfifo "$W/mon.in" "$W/mon.out"
exec 8> >(exec cat);                P_OUT=$!
exec 9> >(exec cat >&2 8>&-);       P_ERR=$!
# Where the scheduler shares by sessions, a priority counts for nothing outside of its session.
exec 7< <(exec setsid setpriv --pdeathsig KILL bash -c 'echo "$1" 2>/dev/null >/proc/self/autogroup; exec nice -n "$@"' nice "${VIPVM_NICE:-5}" \
            qemu-system-x86_64 "${args[@]}" </dev/null 2>"$W/qemu.err"); QPID=$!
exec 8>&- 9>&-

regs() {   # where the CPUs are; no KASLR here, so any run's /proc/kallsyms names the addresses
  echo "== vipvm: the VM's CPUs, by QEMU's monitor"
  # the pipe's other end may be gone by now, and opening it would wait for ever
  W=$W timeout 1 bash -c 'echo "info registers -a" >"$W/mon.in"' || return
  timeout 1 cat "$W/mon.out" | grep -E '^(CPU#|RIP)'
}
tick; rc= why= heard=$ms
while :; do
  tick
  if ((limit && ms >= limit * 1000)); then why=late; break; fi
  if ((ms - heard >= freeze * 1000)); then why=frozen; break; fi
  if IFS= read -r -t 1 -u 7 line; then
    tick; heard=$ms
    case $line in
      'STAGE '*) say "${line#STAGE }" ;;
      'RC '*)    rc=${line#RC } ;;
    esac
  elif (($? <= 128)); then break
  fi
done
if [[ -n $why ]]; then
  for i in 1 2; do regs >&2 || :; done
  kill -KILL "$QPID" 2>/dev/null || :
fi
wait "$QPID" 2>/dev/null || :
QPID=
wait "$P_OUT" "$P_ERR" 2>/dev/null || :
if [[ -n $console ]]; then cp "$W/console.log" "$console"; fi
if [[ $why == late ]]; then say "gave up after $limit s"; exit 124; fi
if [[ $why == frozen ]]; then tail -n 25 "$W/console.log" >&2; say "the VM froze: no sign of life for $freeze s"; exit 123; fi
if [[ -z $rc ]]; then
  cat "$W/qemu.err" >&2; tail -n 25 "$W/console.log" >&2 2>/dev/null || :
  die "the VM ended without a result"
fi
say "done, exit status $rc"
exit "$rc"
