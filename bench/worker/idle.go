package worker

import (
	"context"
	"errors"
	"net"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// idleConnections are open and nobody uses them. The driver's buffers are not kept for them.
type idleConnections []net.Conn

// hopeless is how many connections in a row fail before no more idle ones are tried: the server has no room for them.
const hopeless = 3 * dialsAtStart

// openIdle opens as many connections as it can. It fails only when there is not one.
func openIdle(ctx context.Context, l *line, count int, t *tally) (idleConnections, error) {
	var mu sync.Mutex
	var opened idleConnections
	var first error
	failed := 0 // since the last success
	each(count, func(i int) {
		mu.Lock()
		enough := failed >= hopeless
		mu.Unlock()
		if enough || ctx.Err() != nil {
			return
		}
		conn, err := l.openBare(ctx)
		mu.Lock()
		defer mu.Unlock()
		if err != nil {
			failed++
			t.fail(i, err)
			if first == nil {
				first = err
			}
			return
		}
		failed = 0
		opened = append(opened, conn)
	})
	if ctx.Err() != nil || count > 0 && len(opened) == 0 {
		opened.close()
		return nil, errors.Join(context.Cause(ctx), first)
	}
	return opened, nil
}

// alive is how many connections the server hasn't closed.
func (c idleConnections) alive() int {
	alive := 0
	for _, conn := range c {
		if isOpen(conn) {
			alive++
		}
	}
	return alive
}

// mostUnread bounds how often isOpen reads: a server has nothing to say to a client that is idle, but its farewell.
const mostUnread = 16

// isOpen looks whether the peer has closed a connection, without waiting. What has come before is thrown away: nobody is to
// read from the connection any more. One that can't be looked at counts as open.
func isOpen(conn net.Conn) bool {
	for {
		inner, ok := conn.(interface{ NetConn() net.Conn })
		if !ok {
			break
		}
		conn = inner.NetConn() // below TLS
	}
	below, ok := conn.(syscall.Conn)
	if !ok {
		return true
	}
	raw, err := below.SyscallConn()
	if err != nil {
		return false
	}
	open := true
	err = raw.Control(func(fd uintptr) {
		var b [4096]byte
		for range mostUnread {
			n, _, err := unix.Recvfrom(int(fd), b[:], unix.MSG_DONTWAIT)
			if n <= 0 {
				open = errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR)
				return
			}
		}
	})
	return err == nil && open
}

func (c idleConnections) close() {
	for _, conn := range c {
		_ = sendTerminate(conn) // nothing hangs on a polite goodbye
		_ = conn.Close()
	}
}
