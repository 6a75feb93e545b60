// Package notify lets any number of clients listen for notifications through
// one server connection per database.
//
// It is not a session: it knows no client's protocol state, bounds no client's
// queue, and decides nothing about policy. It has two parts, which the session
// joins:
//
//   - Hub owns the connection. It listens on every channel that some Listener
//     wants, hands out what arrives, and comes back after a loss.
//   - Handover is pure: for one client, it decides which of two sources, the
//     client's own server or the hub, brings a notification, so that none is
//     lost and none comes twice.
//
// # The change-over
//
// Postgres keeps one queue of notifications, in the order of commits, and every
// backend reads it in that order. So a notification with a unique payload, seen
// on two connections, divides what both bring at the same place:
//
//  1. The client has done LISTEN on its own server, and the transaction has
//     committed: Hub.Listen, Handover.Begin. The server's notifications go to
//     the client as before.
//  2. Listener.Subscribed says that the hub listens too: Handover.Subscribed.
//  3. When Handover.Due, and the server is idle outside a transaction: Hub.Token,
//     Handover.Mark, and AppendMark is sent to the server. It makes the server
//     listen on the hub's marker channel and notify it of the token, in one
//     transaction.
//  4. What the server brings before the token goes to the client, and what it
//     brings afterwards is dropped. What the hub brings before the token is
//     dropped; what it brings afterwards goes to the client, once the server's
//     token has been seen as well.
//  5. When Handover.Done, UNLISTEN * on the server; it is free for others.
//
// Step 4 loses nothing, since both connections listen from before the token's
// commit until after both have shown it; and a notification stands on one side
// of the token on both connections, so nothing comes twice.
//
// Order is exact within a channel always, and over all channels of a client
// whenever no change-over is under way. While one is, the new channel's come
// from the server and those of channels that the hub has already come from the
// hub, and the two may pass each other.
//
// # Encodings
//
// The hub's connection has the client encoding SQL_ASCII: names and payloads
// pass in the database's own encoding, unconverted. That is what a client gets
// from Postgres if Unconverted says so; a client with any other encoding has to
// keep its own server, which converts.
package notify
