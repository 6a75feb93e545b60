package nullserver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"syscall"
	"time"
)

const (
	// threads is how many connections get a thread each, which waits for its client in a blocking read: the leanest way to
	// wait for one. Those that come when so many are open are left to Go's poller.
	threads = 64
	// maxConnections bounds them all. One beyond it is closed as soon as it comes.
	maxConnections = 30_000
	// inputSize is what one read takes, in bytes. It bounds what a client can make of it: an answer is about ten times as
	// long as its question at most.
	inputSize = 4 << 10
	// crowdedPause is how long nobody is let in when the system is out of file descriptors.
	crowdedPause = 20 * time.Millisecond
)

// Server is a running null server, in this process (Start) or in one of its own (Launch).
type Server struct {
	address string
	stop    func() error // blocks until it has ended
}

// Address is host and port.
func (s *Server) Address() string { return s.address }

// URL is what a Postgres driver connects with.
func (s *Server) URL() string { return "postgres://carpool@" + s.address + "/null?sslmode=disable" }

// Stop ends the server and its connections, and blocks until they have ended. It may be called once.
func (s *Server) Stop() error { return s.stop() }

// Start runs a server in this process, on a free port of the loopback interface, until ctx ends or Stop is called.
func Start(ctx context.Context) (*Server, error) {
	listener, err := listen(ctx)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- Serve(ctx, listener) }()
	return &Server{
		address: listener.Addr().String(),
		stop: func() error {
			cancel()
			return <-ended
		},
	}, nil
}

func listen(ctx context.Context) (net.Listener, error) {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listening for the null server: %w", err)
	}
	return listener, nil
}

// Serve answers the clients that come to a TCP listener, and blocks until ctx ends; that is no error. It closes the listener
// and all connections before it returns.
func Serve(ctx context.Context, listener net.Listener) error {
	release := context.AfterFunc(ctx, func() { _ = listener.Close() })
	defer release()
	defer listener.Close()
	s := &service{replies: newReplies(), streams: make(map[stream]struct{})}
	defer s.clients.Wait()
	defer s.end()
	for {
		conn, err := listener.Accept()
		switch {
		case err == nil:
			s.admit(conn)
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
			pause(ctx, crowdedPause)
		default:
			return fmt.Errorf("accepting a connection to the null server: %w", err)
		}
	}
}

func pause(ctx context.Context, duration time.Duration) {
	timer := time.NewTimer(duration)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// stream is a connection that one goroutine reads and writes, and another may end.
type stream interface {
	io.ReadWriteCloser
	// end makes reads and writes under way return, and all later ones.
	end()
}

// polled is a stream that waits in Go's poller.
type polled struct{ net.Conn }

func (p polled) end() { _ = p.Close() }

// service is what the connections of one Serve share.
type service struct {
	replies *replies
	clients sync.WaitGroup

	mu      sync.Mutex
	streams map[stream]struct{} // guarded by mu
}

// admit starts the goroutine of a new connection, which Serve waits for and end ends.
func (s *service) admit(conn net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.streams) >= maxConnections {
		_ = conn.Close()
		return
	}
	var client stream = polled{conn}
	if len(s.streams) < threads {
		socket, err := takeSocket(conn)
		if err != nil { // the client sees its connection end
			return
		}
		client = socket
	}
	s.streams[client] = struct{}{}
	s.clients.Go(func() {
		_ = converse(client, s.replies) // the client has been told what went wrong
		s.mu.Lock()
		delete(s.streams, client)
		s.mu.Unlock()
		_ = client.Close()
	})
}

// end ends all connections.
func (s *service) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for client := range s.streams {
		client.end()
	}
}

// converse answers one client until one side ends it.
func converse(client io.ReadWriter, replies *replies) error {
	c := conversation{replies: replies}
	in := make([]byte, inputSize)
	var out []byte
	for {
		n, err := client.Read(in)
		if err != nil {
			return err
		}
		var end error
		if out, end = c.feed(out[:0], in[:n]); len(out) > 0 {
			if _, err := client.Write(out); err != nil {
				return err
			}
		}
		if end != nil {
			if errors.Is(end, errEnd) {
				return nil
			}
			return end
		}
	}
}
