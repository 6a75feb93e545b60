// Package startup is a client's way in, from its first byte until it is known
// who it is, as a pure state machine: bytes in, bytes and decisions out. It has
// no lock, clock, goroutine, socket or source of randomness. Whoever owns the
// connection (the shell) does what the machine says.
//
// The life of a Machine:
//
//  1. New, when a connection has been accepted.
//  2. Feed, with the bytes received. After every call the shell sends what Out
//     holds and acts on the Event. StartTLS and DirectTLS: it shakes hands and
//     calls Secured. Cancel: it passes the request on and closes.
//  3. Identify: the client has said who it claims to be and what it wants. The
//     shell routes it, picks a Mechanism and calls Authenticate, or Refuse.
//  4. Feed again, with the client's answers. Work: the shell runs the function
//     on a goroutine and then calls Resume.
//  5. Authenticated: the shell finds out what the server reports and sends
//     AppendWelcome, or calls Refuse. The machine is thrown away.
//
// Nothing is ever accepted twice: who the client claims to be is fixed by one
// StartupMessage, and every packet that comes out of order ends the connection.
//
// It is not the place where limits, pools or passwords are known: the first
// two are the shell's, the last are package auth's. What a client sends later
// than its last authentication message is never looked at here.
//
// Source: "Start-up" and "Message Formats" in Postgres's documentation of the
// frontend/backend protocol.
package startup
