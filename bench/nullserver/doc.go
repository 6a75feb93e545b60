// Package nullserver is a server that speaks Postgres' protocol and does nothing else: whatever it is asked, it answers one
// row with the value 1. A benchmark of it measures the benchmark, which is what it is for: the time of a call of the harness
// less the time in which a bare loop exchanges the same bytes is what the harness itself costs.
//
// It isn't a stand-in for Postgres. It runs no SQL, knows no transactions, asks for no password and answers in text even
// when a client would like binary. It listens on the loopback interface alone.
//
// Its life:
//
//  1. Launch starts a process that calls Child, so that client and server share neither threads nor a garbage collector, as
//     is so with a real server. (Start runs one inside this process, Serve on a listener that is there already.)
//  2. Child listens, prints its address, and serves until its standard input ends: it can't outlive its parent.
//  3. Bare, and the harness with URL, make their calls in turn.
//  4. Stop ends it.
package nullserver
