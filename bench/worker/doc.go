// Package worker is one process of a benchmark's clients: it gets a Job, opens connections the way the job's technique
// says, makes the calls of its workload and hands back what came of it.
package worker
