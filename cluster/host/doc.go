// Package host reads what the processors of the machine that it runs on did. Delays are made of sleeping, so a machine on which
// others compute makes the app late without the app being at fault: the analysis must know. Nothing enters; counters leave,
// under the names that package history has for them. It judges nothing.
package host
