package notify

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"carpool/proxy/reactor"
	"carpool/proxy/wire"
)

// Conn is a server that is logged in and idle, as upstream.Dial makes it; the
// fields are those of upstream.Conn with the same names.
type Conn struct {
	FD   int          // the socket, non-blocking and unknown to Go's poller
	TLS  *reactor.TLS // the layer above it, switched; nil if there is none
	Rest []byte       // what came beyond the login, decrypted
	PID  uint32       // the server's process id
}

// readSize is how many bytes are read at once, and farewell how long the last
// message may take to leave.
const (
	readSize = 32 << 10
	farewell = 100 * time.Millisecond
)

// stream carries messages over a logged-in connection: a goroutine reads, one
// writes, so that neither waits for the other. The TLS layer, which upstream
// leaves switched for use without blocking, is fed by both under a lock that is
// never held during I/O.
type stream struct {
	conn   net.Conn
	chunks chan []byte   // whole messages, one or more; closed by the reader at its end
	done   chan struct{} // closed by end
	kick   chan struct{} // capacity 1: there is something to write
	err    error         // why the reader ended; good once chunks is closed
	sealed []byte        // the reader's: ciphertext

	mu    sync.Mutex
	layer *reactor.TLS
	out   []byte // to be written; ciphertext if there is a layer
	over  bool   // nothing is added to out any more

	wait sync.WaitGroup
}

// newStream takes over the connection. Its goroutines end with end, or when the
// connection fails.
func newStream(c *Conn) (*stream, error) {
	file := os.NewFile(uintptr(c.FD), "server")
	conn, err := net.FileConn(file)
	_ = file.Close()
	if err != nil {
		return nil, fmt.Errorf("taking over the connection for notifications: %w", err)
	}
	s := &stream{
		conn: conn, layer: c.TLS, chunks: make(chan []byte),
		done: make(chan struct{}), kick: make(chan struct{}, 1),
	}
	rest := bytes.Clone(c.Rest)
	s.wait.Go(func() { s.read(rest) })
	s.wait.Go(s.write)
	return s, nil
}

// end says goodbye and waits, not long, until the connection is closed.
func (s *stream) end() {
	s.send(wire.AppendEmpty(nil, wire.Terminate))
	s.mu.Lock()
	s.over = true
	s.mu.Unlock()
	_ = s.conn.SetDeadline(time.Now().Add(farewell))
	close(s.done)
	s.wait.Wait()
}

// failure is why chunks was closed.
func (s *stream) failure() error { return s.err }

// send queues messages, without blocking. What is queued is bounded by the
// caller, who waits for answers.
func (s *stream) send(plain []byte) {
	s.mu.Lock()
	switch {
	case s.over:
	case s.layer == nil:
		s.out = append(s.out, plain...)
	default:
		// An error is one of the layer's own, and the reader meets it, too.
		_, _ = s.layer.Conn.Write(plain)
		s.out = append(s.out, s.layer.Feed.Take()...)
	}
	s.mu.Unlock()
	s.stir()
}

func (s *stream) stir() {
	select {
	case s.kick <- struct{}{}:
	default:
	}
}

// write is the goroutine that writes. It ends when done is closed, and closes
// the connection. An error closes it at once, by which the reader learns of it.
func (s *stream) write() {
	defer s.conn.Close()
	var b []byte
	for last := false; !last; {
		select {
		case <-s.done:
			last = true
		case <-s.kick:
		}
		s.mu.Lock()
		b, s.out = s.out, b[:0]
		s.mu.Unlock()
		if _, err := s.conn.Write(b); err != nil {
			_ = s.conn.Close()
		}
	}
}

// read is the goroutine that reads; it ends with the connection. It begins with
// what came with the login.
func (s *stream) read(buf []byte) {
	defer close(s.chunks)
	for {
		whole, err := wholeMessages(buf)
		if err != nil {
			s.err = err
			return
		}
		if whole > 0 {
			select {
			case s.chunks <- bytes.Clone(buf[:whole]):
			case <-s.done:
				return
			}
			buf = append(buf[:0], buf[whole:]...)
		}
		if cap(buf)-len(buf) < readSize/2 {
			buf = append(make([]byte, 0, len(buf)+readSize), buf...)
		}
		n, err := s.receive(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if n == 0 && err != nil {
			if errors.Is(err, io.EOF) {
				err = errors.New("the server closed the connection")
			}
			s.err = fmt.Errorf("listening for notifications: %w", err)
			return
		}
	}
}

// wholeMessages is the size of the messages at the start of b that are complete.
func wholeMessages(b []byte) (size int, err error) {
	for {
		h, ok, valid := wire.ParseHeader(b[size:])
		if !valid || h.Body > maxBody {
			return 0, fmt.Errorf("listening for notifications: a message %q of a length that isn't possible here", h.Type)
		}
		if !ok || len(b)-size < h.Size() {
			return size, nil
		}
		size += h.Size()
	}
}

// receive reads what there is, and blocks until there is something.
func (s *stream) receive(buf []byte) (int, error) {
	if s.layer == nil {
		return s.conn.Read(buf)
	}
	if s.sealed == nil {
		s.sealed = make([]byte, readSize)
	}
	for {
		n, err := s.decrypt(buf)
		if lacking := net.Error(nil); n > 0 || !errors.As(err, &lacking) || !lacking.Timeout() {
			return n, err
		}
		// The layer has consumed all that it was fed.
		m, err := s.conn.Read(s.sealed)
		s.mu.Lock()
		if m > 0 {
			s.layer.Feed.Put(s.sealed[:m])
		} else if errors.Is(err, io.EOF) {
			s.layer.Feed.End()
		}
		s.mu.Unlock()
		if m == 0 && err != nil && !errors.Is(err, io.EOF) {
			return 0, err
		}
	}
}

// decrypt reads from the layer. What the layer has to answer, such as a key
// update, is queued.
func (s *stream) decrypt(buf []byte) (int, error) {
	s.mu.Lock()
	n, err := s.layer.Conn.Read(buf)
	answer := s.layer.Feed.Take()
	s.out = append(s.out, answer...)
	s.mu.Unlock()
	if len(answer) > 0 {
		s.stir()
	}
	return n, err
}
