package delay

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

const (
	// longestDelay keeps a slip of the hand from looking like a server that is down.
	longestDelay = 10 * time.Second
	dialPatience = 10 * time.Second
	// acceptPause is how long accepting rests after a failure such as a lack of file descriptors.
	acceptPause = 10 * time.Millisecond
)

// Proxy stands before one server. Its methods may be called from any goroutine.
type Proxy struct {
	// immutable after Start
	listener net.Listener
	network  string
	address  string
	clock    *clock // nil without a delay
	cancel   context.CancelFunc

	clients   sync.WaitGroup // the accepting goroutine and one for each client
	closeOnce sync.Once
	closeErr  error
}

// Start listens on a free port of 127.0.0.1 and forwards to a server's address, of the kind that net.Dial takes, adding the
// delay to each round trip: never less, and a fraction of a millisecond more where the machine is busy. A delay of 0 forwards
// at once. When ctx ends the proxy stops accepting and resets all connections; the caller closes it in any case.
func Start(ctx context.Context, network, address string, delay time.Duration) (*Proxy, error) {
	if delay < 0 || delay > longestDelay {
		return nil, fmt.Errorf("a delay of %s isn't between 0 and %s", delay, longestDelay)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listening for clients that are to be delayed: %w", err)
	}
	p := &Proxy{listener: listener, network: network, address: address}
	if delay > 0 {
		if p.clock, err = newClock((delay + 1) / 2); err != nil {
			return nil, errors.Join(err, listener.Close())
		}
	}
	ctx, p.cancel = context.WithCancel(ctx)
	p.clients.Go(func() { p.accept(ctx) })
	return p, nil
}

// Address is host:port, where clients connect.
func (p *Proxy) Address() string { return p.listener.Addr().String() }

// Close stops accepting, resets all connections and waits until everything has ended. Calling it again returns the same error.
func (p *Proxy) Close() error {
	p.closeOnce.Do(func() {
		p.cancel()
		// The end of Start's context closes the listener, too.
		if err := p.listener.Close(); !errors.Is(err, net.ErrClosed) {
			p.closeErr = err
		}
		p.clients.Wait()
		if p.clock != nil {
			p.closeErr = errors.Join(p.closeErr, p.clock.close())
		}
	})
	return p.closeErr
}

// accept takes clients in until the listener is closed or ctx ends.
func (p *Proxy) accept(ctx context.Context) {
	release := context.AfterFunc(ctx, func() { _ = p.listener.Close() })
	defer release()
	for {
		client, err := p.listener.Accept()
		if err == nil {
			p.clients.Go(func() { p.serve(ctx, client) })
			continue
		}
		if errors.Is(err, net.ErrClosed) {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(acceptPause):
		}
	}
}

// serve forwards between one client and the server until both ways have ended or one is broken.
func (p *Proxy) serve(ctx context.Context, client net.Conn) {
	server, err := p.connect(ctx)
	if err != nil {
		reset(client)
		return
	}
	abort := func() {
		reset(client)
		reset(server)
	}
	release := context.AfterFunc(ctx, abort)
	defer release()
	var ways sync.WaitGroup
	for _, w := range []*way{newWay(client, server, p.clock), newWay(server, client, p.clock)} {
		ways.Go(w.read)
		ways.Go(func() {
			if err := w.write(); err != nil {
				abort()
			}
		})
	}
	ways.Wait()
	_ = client.Close() // all that there was to say has been sent
	_ = server.Close()
}

// connect dials the server, and takes at least as long as TCP's handshake at the proxy's distance would.
func (p *Proxy) connect(ctx context.Context) (net.Conn, error) {
	var handshake sync.WaitGroup
	if p.clock != nil {
		handshake.Go(func() { p.clock.hold(ctx, 2) })
	}
	dialer := net.Dialer{Timeout: dialPatience}
	server, err := dialer.DialContext(ctx, p.network, p.address)
	handshake.Wait()
	return server, err
}

// reset closes a connection so that its peer sees it broken, not ended in order.
func reset(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}
