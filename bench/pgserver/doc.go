// Package pgserver finds the Postgres server binaries of this machine and runs a private Postgres with them: its own
// temporary directory, its own port on 127.0.0.1 and its own Unix socket, nothing shared with a Postgres that the
// machine may be running already. Tests, the demonstration and the benchmarks stand on it.
//
// It isn't a way to keep data: the server runs without fsync, and its directory is removed when it stops.
//
// The life of a server:
//
//  1. Find looks for initdb and postgres.
//  2. Start makes the directory, hands it to an unprivileged user when we are root (Postgres refuses root), runs initdb,
//     writes the settings, certificates and pg_hba lines, starts the postmaster in a process group of its own (a Ctrl-C
//     in the terminal reaches us only), waits until it takes connections and creates the roles.
//  3. URL, ConnString, Exec and Value talk to it; Pause, Down, Up and Restart do to it what an outage would.
//  4. Stop, or the end of the context given to Start, shuts it down and removes the directory. Should our process be
//     killed, Linux tells the postmaster to go too; the directory is left then, until the next server is started.
package pgserver
