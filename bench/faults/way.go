package faults

import (
	"errors"
	"io"
	"net"
	"time"
)

// way is one direction of a connection, owned by one goroutine.
type way struct {
	proxy     *Proxy
	from, to  net.Conn
	fault     Fault
	serial    int
	direction int
	passed    int // bytes
}

// pass passes bytes on as the fault has it; false when the connection is over.
func (w *way) pass(b []byte) bool {
	for len(b) > 0 {
		w.proxy.mu.Lock()
		silent := w.proxy.silent
		w.proxy.mu.Unlock()
		<-silent
		n := len(b)
		if w.fault.Chunk > 0 {
			n = min(n, w.fault.Chunk)
		}
		if w.fault.Reset || w.fault.Hole {
			n = min(n, w.fault.After-w.passed)
		}
		if n <= 0 {
			return true // swallowed
		}
		if w.fault.Wait != nil {
			time.Sleep(w.fault.Wait())
		}
		if _, err := w.to.Write(b[:n]); err != nil {
			w.abort()
			return false
		}
		b = b[n:]
		w.count(n)
		if w.fault.Reset && w.passed == w.fault.After {
			w.abort()
			return false
		}
	}
	return true
}

func (w *way) count(n int) {
	w.passed += n
	w.proxy.mu.Lock()
	defer w.proxy.mu.Unlock()
	if w.serial == int(w.proxy.serial.Load()) {
		w.proxy.sent[w.direction] = w.passed
	}
}

// abort resets both connections.
func (w *way) abort() {
	reset(w.from)
	reset(w.to)
}

func isEnd(err error) bool { return errors.Is(err, io.EOF) }

// reset closes a connection so that its peer sees it broken, not ended in order.
func reset(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}
