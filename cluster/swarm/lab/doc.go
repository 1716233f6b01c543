// Package lab makes a real Docker Swarm of several nodes on one Linux machine, in seconds, and removes every trace of it.
//
// Every node is a machine of its own as far as the kernel can give one to it: an init process with its own network,
// mount, process and host name namespaces, in which dockerd runs with its own data. One more machine is the switch that
// joins them: it holds a bridge and an image registry, from which the nodes pull. Nothing of a lab lies in the host's
// own namespaces but one network interface, over which the host reaches the nodes and the registry.
//
//	host 10.77.0.253 ──┐
//	                   ├── switch: bridge 10.77.0.254, registry :5000
//	node1 10.77.0.1 ───┤
//	node2 10.77.0.2 ───┘
//
// That makes the end simple: when an init process is killed, the kernel ends everything in its namespaces, engine,
// shims and containers, and takes their mounts and interfaces away. So killing a node is a machine that loses power,
// and Down, which finds the processes by a state file and by their names, works after a crash as well.
//
// In goes a Config; out comes a Lab whose engines are reached through their sockets. The lab outlives the program that
// made it; Open finds it again. The nodes have no way to the outside: what they shall run is pushed to the registry,
// which also answers for Docker Hub's names. Linux and root only.
package lab
