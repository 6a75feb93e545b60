// Package compare measures carpool beside PgBouncer: on one machine, before one private Postgres, with the same settings,
// in rounds that take turns so that what the machine does meanwhile hits both.
//
// Run goes through the scenarios:
//
//	transactions  pgbench -S in the simple, extended and prepared protocol: the pooler's CPU time for each transaction, and
//	              transactions a second
//	connect       pgbench -S -C, a new connection for each transaction: the same
//	idle          memory of a fresh process, and of each logged-in client that does nothing
//	bulk          a large result through the pooler: CPU time for each megabyte, and the process' highest memory
//	state         pgbench -S through carpool as it is by default, and beside it through a carpool that ignores session state
//
// CPU time and memory are read from /proc, so this works on Linux only. Everything runs as an unprivileged user and is
// stopped and removed when Run returns, also when its context ends.
package compare
