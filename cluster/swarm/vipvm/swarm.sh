#!/bin/bash
# In the guest: makes a Swarm of several nodes, as `coinbench swarm lab` does, and runs a command on it.
# usage: swarm.sh NODES COINBENCH REGISTRY COMMAND [ARG...]
set -euo pipefail
nodes=$1 coinbench=$2 registry=$3
shift 3
ln -sf "$coinbench" /usr/local/bin/coinbench
# An engine's layers cannot lie on the overlay that the guest's root is.
mkdir -p /var/lib/coinbench
mount -t tmpfs -o mode=755,size=80% coinbench /var/lib/coinbench
# A node that is only slow is not down.
coinbench swarm lab up --nodes "$nodes" --heartbeat 1m --registry-data "$registry" >&2
environment=$(coinbench swarm lab env)
eval "$environment"
exec "$@"
