// Package procfs asks Linux what it tells in /proc about processes and the machine: CPU time, memory, parents, limits.
//
// Other systems have no such place: there every question about a process is answered with ErrUnsupported, and Describe
// leaves out what it doesn't find, so that callers leave the value out too. Nothing here blocks for longer than reading a
// few small files takes.
package procfs
