// Package proxy relays between clients and servers: the only package that
// knows both the pool and the protocol.
//
// The path of a byte. A connection is accepted on an event loop (proxy.go) and
// becomes a session (session.go). What it sends first goes through the start-up
// machine (login.go, package startup), which says who it is; the session then
// takes the route to its database and user (route.go), which has a pool of
// servers. From then on:
//
//  1. idle: the session has no server and no buffer.
//  2. checkout.go: the first byte of a transaction gets it an idle server, a new
//     one, or a place in the queue.
//  3. prime: parameters that the server hasn't set as the client wants them are
//     set ahead of the client's own bytes.
//  4. relay.go and answer.go: bytes go both ways. exchange.go decides for every
//     message, by its header, what it means for the conversation; statements.go
//     translates the names of prepared statements, and unnamed.go looks after the
//     statement without a name. A peer that doesn't take its
//     bytes stops the one that sends them.
//  5. When the server owes nothing and is outside a transaction, it goes back
//     to the pool (server.go), reset first if need be.
//     What the client has left there is found out first (settle.go, residue.go,
//     deeds.go), and may make it keep the server (pin.go). What it listens on
//     goes over to the database's hub (listening.go, hubs.go), whose notifications
//     come to it between transactions (inbox.go, outbox.go).
//  6. farewell.go: a client that leaves in the middle has its query cancelled
//     and its transaction rolled back; the server is kept if that ends well.
//
// A route's terms (terms.go) and the settings they come from (settings.go) never
// change; reload.go puts others in their place while everything goes on.
//
// cancel.go finds the session that a cancel request is for. timeouts.go holds
// every time limit, reject.go every error that carpool itself tells a client,
// shutdown.go the ways to end. view.go is what the console and the metrics see;
// it is counted in counters.go, how long things take in histogram.go, by the
// loops themselves. statsline.go and slow.go are what the log says of it.
package proxy
