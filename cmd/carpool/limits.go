package main

import (
	"log/slog"
	"syscall"

	"carpool/config"
)

// otherFiles are the descriptors that a process has besides those of clients
// and servers: listening sockets, pollers, clients of the console, logins and
// cancel requests under way, the log.
const otherFiles = 128

// checkFileLimit compares the descriptors that the process may have with those
// that it may come to need.
func checkFileLimit(c *config.Config, log *slog.Logger) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		log.Warn("the limit on file descriptors isn't known", "error", err)
		return
	}
	needed := filesNeeded(c)
	attrs := []any{"limit", uint64(limit.Cur), "max_client_conn", c.MaxClientConn, "expected_use", needed}
	if uint64(needed) > uint64(limit.Cur) {
		log.Warn("the limit on file descriptors (ulimit -n) is lower than what max_client_conn and the pools can come to use", attrs...)
		return
	}
	log.Info("file descriptors", attrs...)
}

// filesNeeded is how many descriptors are in use when every limit is reached
// and each database has one user. A pool without a limit counts as one as large
// as max_client_conn.
func filesNeeded(c *config.Config) int {
	needed := c.MaxClientConn + otherFiles
	if c.MetricsListen != "" {
		needed += maxVisitors
	}
	for _, d := range c.Databases {
		limits := c.Resolve(d, d.User)
		servers := limits.PoolSize + limits.ReservePoolSize
		if limits.PoolSize == 0 {
			servers = c.MaxClientConn
		}
		if limits.MaxDBConnections > 0 {
			servers = min(servers, limits.MaxDBConnections)
		}
		needed += servers
	}
	return needed
}
