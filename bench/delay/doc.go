// Package delay is a TCP proxy that makes a server seem far away: everything that passes is held back for half of a given
// round trip each way. Order and throughput stay, up to what a window of TCP's size lets through in that time.
//
// A new connection has its first bytes held back for one round trip more, which is what TCP's own handshake would have taken:
// the handshake with the proxy, on the same machine, takes next to none.
//
// The life of a proxy: Start listens; clients connect to Address; Close, or the end of the context, resets what is still
// connected, and Close waits until nothing is left. For each client the proxy connects to the server at once, so that what it does
// for that is hidden behind the delay.
package delay
