// Package target is the database of a benchmark: a private Postgres made for it, or the reader's own server, of which it
// touches nothing but a schema of its own.
//
// The life of a target:
//
//  1. Private starts a Postgres; Own connects to the reader's, and only reads: its version, its limits, who uses it.
//  2. Plan tells in sentences what comes next. Nothing has been created yet.
//  3. Create drops what earlier benchmarks left behind that were cut off, and makes the schema; Setup fills it. For a script
//     that works on the reader's own tables neither does anything.
//  4. URL is where clients connect, Server and UnixServer are the same for poolers. Watch counts server connections
//     meanwhile, CPU is what the whole Postgres has used.
//  5. Close drops the schema, also after the context of the run has ended, and stops the private Postgres.
//
// A schema is known as ours by its name and its comment, and as in use by an advisory lock that its owner's connection
// holds: a benchmark that is killed loses the lock with its connection, and the next one cleans up.
package target
