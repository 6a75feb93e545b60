// Package admin is the console: what a client gets that connects to the
// database pgbouncer or carpool and sends SHOW POOLS.
//
// It is a view of a running proxy and a way to give it orders; it keeps no
// state of the proxy's own. Its life:
//
//  1. New makes a Console, Proxy.SetConsole hands it to the proxy.
//  2. Run takes a sample of all counters each stats_period, for averages.
//  3. The proxy opens a session for every client that it has let in (session.go),
//     and hands it the client's messages, of the simple or the extended
//     protocol. A statement is taken apart (parse.go), looked up in the table of
//     commands (command.go), or of SHOW verbs (show.go), and its result answered
//     (reply.go).
//
// Names, columns and their types are PgBouncer's, so that its dashboards and
// exporters work. Errors have an SQLSTATE of their own, where PgBouncer has one
// for all.
package admin
