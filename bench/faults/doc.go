// Package faults is a TCP proxy that does to connections what networks do at their worst: it passes bytes on one at a time,
// resets a connection behind any byte, or falls silent without a word.
//
// Its tests are the fault suite: they run the real carpool in front of a real Postgres, break one of the two, the network
// between any pair or a client, and check what comes of it: no answer reaches another client, what was acknowledged is there
// once, everybody hears of the fault in time, and in the end carpool's books agree with Postgres's. They run shortly with all
// other tests, and at length by `make faults`, which keeps the figures in docs/reliability.md.
package faults
