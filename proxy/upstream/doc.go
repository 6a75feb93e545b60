// Package upstream makes connections to servers: it dials, agrees on TLS, logs
// in, and hands over a server that is idle and ready for its first query. It
// also delivers cancel requests, and asks servers for the secrets of users.
//
// Everything here may block and runs on an ordinary goroutine with a context;
// nothing of it runs on an event loop. The way of one connection:
//
//  1. Dial takes the target's hosts and their addresses one after another, each
//     with its share of the time that is left.
//  2. Encryption is agreed on as libpq does for the target's TLSMode, with one
//     byte read and no more before the handshake begins.
//  3. The login answers what the server asks for: nothing, a password, md5 or
//     SCRAM-SHA-256. All that a server says is limited in size and number.
//  4. The connect query runs, if there is one, and the server is asked what it
//     has set.
//  5. The socket leaves Go's poller and becomes a descriptor for an event loop,
//     and the TLS layer above it, if any, is switched to work without blocking.
//
// A server that says no is a LoginError, which carries the server's own report;
// any other error means that no server could be asked.
package upstream
