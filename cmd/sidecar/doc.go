// Package sidecar is what `carpool exec` works out before and while a command runs behind a pooler of its own. It starts
// nothing and listens nowhere: the command line does, with what it is told here.
//
// The life of a sidecar:
//
//  1. NewPlan takes environment and command line: is there to be a pooler at all, which variables hold database URLs, what is
//     the pooler to be like. Of the environment, PG* variables count least, then PGBOUNCER_*, then CARPOOL_*; the command line
//     counts most.
//  2. Plan.Read reads the URLs: where the servers are, and what of each URL is the application's business.
//  3. ParseLimits reads how many connections the server really allows, when a share of them is wanted.
//  4. Plan.Config is the configuration of the pooler.
//  5. Plan.Environ is the environment of the command, once it is known where the pooler listens.
//  6. Source.Watch tells when a URL has changed; Plan.Read and Plan.Config then make the next configuration.
//
// No error and no text that comes from here holds a password or a URL, but for what Plan.Environ is for.
package sidecar
