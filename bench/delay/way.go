package delay

import (
	"bytes"
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

const (
	// window is how many bytes may be under way in one direction of a connection, about what TCP's own largest windows are
	// by default. Who reads them slowly stops who sends them.
	window = 4 << 20
	// A buffer begins small, for connections that are idle, and grows when it is found full.
	smallestBuffer = 1 << 10
	largestBuffer  = 64 << 10
	bufferGrowth   = 4
)

var (
	errReset  = errors.New("the peer has reset the connection")
	errBroken = errors.New("the connection has been given up")
)

// chunk is what was read at one time.
type chunk struct {
	bytes []byte
	due   time.Time // when it may go on
	end   error     // nil, or what came instead of bytes: io.EOF or errReset
}

// way is one direction of a connection. One goroutine reads, another writes; neither outlives both connections.
type way struct {
	// immutable
	from, to net.Conn
	clock    *clock        // nil without a delay
	wake     chan struct{} // holds a token when the writer has something to look at
	room     chan struct{} // holds a token when the reader has

	mu      sync.Mutex // guards what follows
	chunks  []chunk    // in the order in which they came, which is that of their due times
	pending int        // bytes in chunks
	broken  bool       // both goroutines end
}

func newWay(from, to net.Conn, clock *clock) *way {
	return &way{from: from, to: to, clock: clock, wake: make(chan struct{}, 1), room: make(chan struct{}, 1)}
}

// read takes bytes in until the peer ends or the way is broken.
func (w *way) read() {
	buffer := make([]byte, smallestBuffer)
	for {
		n, err := w.from.Read(buffer)
		if n > 0 && !w.push(chunk{bytes: bytes.Clone(buffer[:n])}) {
			return
		}
		switch {
		case err == nil:
		case errors.Is(err, io.EOF):
			w.push(chunk{end: io.EOF})
			return
		case errors.Is(err, net.ErrClosed):
			w.breakOff()
			return
		default:
			w.push(chunk{end: errReset})
			return
		}
		if n == len(buffer) && n < largestBuffer {
			buffer = make([]byte, n*bufferGrowth)
		}
	}
}

// push queues a chunk when there is room, and tells whether the way isn't broken.
func (w *way) push(c chunk) bool {
	now := time.Now()
	for {
		w.mu.Lock()
		if w.broken {
			w.mu.Unlock()
			return false
		}
		if w.pending == 0 || w.pending+len(c.bytes) <= window {
			break
		}
		w.mu.Unlock()
		<-w.room
	}
	if w.clock != nil {
		c.due = now.Add(w.clock.quantum)
	}
	w.chunks = append(w.chunks, c)
	w.pending += len(c.bytes)
	w.mu.Unlock()
	if w.clock != nil {
		w.clock.ring(w.wake)
	} else {
		signal(w.wake)
	}
	return true
}

// write passes chunks on when they are due. It returns nil when it has passed on the peer's orderly end, else why both
// connections are to be reset.
func (w *way) write() error {
	defer w.breakOff()
	for {
		c, err := w.pop()
		switch {
		case err != nil:
			return err
		case errors.Is(c.end, io.EOF):
			return closeWrite(w.to)
		case c.end != nil:
			return c.end
		}
		if _, err := w.to.Write(c.bytes); err != nil {
			return err
		}
	}
}

// pop waits for the next chunk and its time.
func (w *way) pop() (chunk, error) {
	for {
		w.mu.Lock()
		if w.broken {
			w.mu.Unlock()
			return chunk{}, errBroken
		}
		if len(w.chunks) > 0 && !time.Now().Before(w.chunks[0].due) {
			c := w.chunks[0]
			w.chunks[0] = chunk{}
			if w.chunks = w.chunks[1:]; len(w.chunks) == 0 {
				w.chunks = nil // an idle connection holds nothing
			}
			w.pending -= len(c.bytes)
			w.mu.Unlock()
			signal(w.room)
			return c, nil
		}
		w.mu.Unlock()
		<-w.wake
	}
}

// breakOff ends both goroutines of the way.
func (w *way) breakOff() {
	w.mu.Lock()
	w.broken = true
	w.mu.Unlock()
	signal(w.wake)
	signal(w.room)
}

// signal leaves a token unless there is one already.
func signal(tokens chan struct{}) {
	select {
	case tokens <- struct{}{}:
	default:
	}
}

// closeWrite passes on that the peer will send no more.
func closeWrite(conn net.Conn) error {
	if half, ok := conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errBroken
}
