// Package auth finds out whether a client is who it says: cleartext, md5 and
// SCRAM-SHA-256 passwords, checked against plain, md5 and SCRAM secrets, the
// user list that PgBouncer reads too, and its rules and name maps that say which
// client has to prove itself how.
//
// It has no sockets and doesn't frame messages. A Mechanism is one exchange with one
// client: it is given the bodies of the client's messages and appends whole
// messages of its own. What takes long (PBKDF2) it never does by itself, but
// hands out as a function.
//
// The life cycle:
//
//  1. NewVerifier, once in the life of the process.
//  2. LoadUsers and Verifier.Configure, at start and after every reload.
//  3. Verifier.Mechanism, for every client that has said who it is.
//
// A client that proves itself by a SCRAM secret gives away what logs in to a
// server with the same secret: see Secret.Keys.
//
// An unknown user goes through the same exchange as a known one and can't tell
// that it never had a chance: same messages, same iterations, a salt that is
// the same at the next attempt.
//
// Sources: RFC 5802 and RFC 7677 (SCRAM), RFC 5929 (channel binding), RFC 4013
// (SASLprep), "SASL Authentication" in Postgres's documentation of the protocol.
package auth
