// Package worker is one process of a benchmark's clients: it gets a Job, opens connections the way the job's technique
// says, makes the calls of its workload and hands back what came of it. It doesn't know about strategies, rounds or reports,
// and makes no tables.
//
// A run in one process (Run):
//
//  1. check the job, raise the limit on file descriptors
//  2. open what the technique keeps, and the idle connections: supply, openIdle
//  3. Ready, then wait for Go; a storm comes back here before each wave
//  4. clients call until the duration or the calls are over: client, storm
//  5. calls under way may finish within the grace, then their connections are cut
//  6. close everything, add up: tally, latencies
//
// A run in many processes: Split shares the job out, and Group.Run starts a process for each part, which runs Serve. They
// speak in lines. The parent writes the Job as JSON, then "go" when all are ready, or "stop" when a storm is to have no other
// wave. The child writes JSON objects: {"ready":...} when its clients could begin, {"progress":...} ten times a second, and
// at last {"result":...}, or {"failed":"why"}, and then its exit status is 1. A child whose standard input ends has no parent
// any more and ends, too.
package worker
