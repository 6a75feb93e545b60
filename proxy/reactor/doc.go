// Package reactor carries bytes: an event loop on one goroutine that owns
// non-blocking sockets, tells their handlers what arrived, and sends what it
// is given.
//
// A Conn belongs to one Loop, and every method of a Conn is called on that
// loop's goroutine only. Loop.Post, the one method that any goroutine may
// call, is how the rest of the program gets in.
//
// The life of a Conn:
//
//  1. Attach hands a descriptor to a loop. From then on the Conn owns it.
//  2. Handler.Data gets what the peer sent; bytes it doesn't consume are kept
//     and shown again. Pause stops the flow, Resume lets it go on.
//  3. Send writes at once what the socket takes and keeps the rest; Buffered
//     says how much is kept, Handler.Drained that none is left.
//  4. Handler.EOF and Handler.Failed tell that the peer is done or gone.
//  5. Close ends it at once, Finish after the last byte was delivered, Detach
//     gives the descriptor away.
//
// A poller underneath waits for the sockets: epoll, kqueue, or io_uring, which
// also moves the bytes of plain connections (a carrier). What a Handler is told
// is the same with each.
//
// An idle Conn holds no buffer. One read buffer per loop serves all its
// connections; what has to be kept is kept in buffers borrowed from the loop.
package reactor
