package faults

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Fault is what happens to one direction of a connection. The zero value is nothing.
type Fault struct {
	// Wait, if it isn't nil, is how long each piece is held up before it is passed on, asked anew for each.
	Wait func() time.Duration
	// Chunk is the most bytes that are passed on in one write; 0 is as they come.
	Chunk int
	// Reset resets both connections behind the first After bytes of this direction.
	Reset bool
	// Hole passes nothing on any more behind the first After bytes, and goes on reading.
	Hole  bool
	After int
}

// Plan says what happens to the two directions of the serial-th connection, counted from 1.
type Plan func(serial int) (toServer, toClient Fault)

// Proxy stands before one server. Its methods may be called from any goroutine.
type Proxy struct {
	// immutable after Start
	listener net.Listener
	network  string
	running  sync.WaitGroup // the accepting goroutine and those of each connection

	serial atomic.Int64

	mu      sync.Mutex // guards what follows
	address string
	refuses bool // connections are reset as they come
	plan    Plan
	silent  chan struct{} // closed when bytes may pass; replaced by Silence
	conns   map[net.Conn]struct{}
	ended   bool
	sent    [2]int // bytes passed on of the connection that was accepted last: to the server, to the client
}

const dialPatience = 10 * time.Second

// Start listens on a free port of 127.0.0.1 and forwards to a server's address, of the kind that net.Dial takes. A nil plan
// breaks nothing. The caller closes it.
func Start(network, address string, plan Plan) (*Proxy, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listening for connections to be broken: %w", err)
	}
	p := &Proxy{listener: listener, network: network, address: address, plan: plan, silent: make(chan struct{}), conns: make(map[net.Conn]struct{})}
	close(p.silent)
	p.running.Go(p.accept)
	return p, nil
}

// Address is host:port, where clients connect.
func (p *Proxy) Address() string { return p.listener.Addr().String() }

// Connections is how many have been accepted so far.
func (p *Proxy) Connections() int { return int(p.serial.Load()) }

// Passed is how many bytes of the connection that was accepted last went to the server and to the client.
func (p *Proxy) Passed() (toServer, toClient int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.sent[0], p.sent[1]
}

// Follow has another plan apply to the connections that are accepted from now on.
func (p *Proxy) Follow(plan Plan) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.plan = plan
}

// Silence lets no byte pass any more, in any direction, and accepts connections that nothing comes of. Nobody is told.
func (p *Proxy) Silence() {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.silent:
		p.silent = make(chan struct{})
	default:
	}
}

// Refuse resets all connections, and from now on those that come, as they come: as if nobody listened.
func (p *Proxy) Refuse() {
	p.mu.Lock()
	p.refuses = true
	p.mu.Unlock()
	p.Reset()
}

// Redirect has the connections that are accepted from now on go to another server's address.
func (p *Proxy) Redirect(address string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.address = address
}

// Speak ends a Silence, in which case what has been held back goes on, and a Refuse.
func (p *Proxy) Speak() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refuses = false
	select {
	case <-p.silent:
	default:
		close(p.silent)
	}
}

// Reset resets all connections that there are.
func (p *Proxy) Reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for conn := range p.conns {
		reset(conn)
	}
}

// Close resets all connections and waits until everything has ended.
func (p *Proxy) Close() error {
	err := p.listener.Close()
	p.mu.Lock()
	p.ended = true
	p.mu.Unlock()
	p.Speak()
	p.Reset()
	p.running.Wait()
	if err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("closing the faulting proxy: %w", err)
	}
	return nil
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			time.Sleep(time.Millisecond) // out of descriptors, say
			continue
		}
		serial := int(p.serial.Add(1))
		p.mu.Lock()
		plan, address, refuses := p.plan, p.address, p.refuses
		p.sent = [2]int{}
		p.mu.Unlock()
		if refuses {
			reset(client)
			continue
		}
		p.running.Go(func() { p.serve(client, address, serial, plan) })
	}
}

// serve forwards between a client and the server until both directions have ended or the connection is broken.
func (p *Proxy) serve(client net.Conn, address string, serial int, plan Plan) {
	if !p.enter(client) {
		return
	}
	defer p.leave(client)
	ctx, cancel := context.WithTimeout(context.Background(), dialPatience)
	defer cancel()
	var dialer net.Dialer
	server, err := dialer.DialContext(ctx, p.network, address)
	if err != nil {
		reset(client)
		return
	}
	if !p.enter(server) {
		return
	}
	defer p.leave(server)
	var toServer, toClient Fault
	if plan != nil {
		toServer, toClient = plan(serial)
	}
	var ways sync.WaitGroup
	ways.Go(func() { p.forward(client, server, toServer, serial, 0) })
	ways.Go(func() { p.forward(server, client, toClient, serial, 1) })
	ways.Wait()
}

func (p *Proxy) enter(conn net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		reset(conn)
		return false
	}
	p.conns[conn] = struct{}{}
	return true
}

func (p *Proxy) leave(conn net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, conn)
	_ = conn.Close()
}

// forward passes one direction on, until it ends.
func (p *Proxy) forward(from, to net.Conn, f Fault, serial, direction int) {
	w := &way{proxy: p, from: from, to: to, fault: f, serial: serial, direction: direction}
	if f.Reset && f.After == 0 {
		w.abort()
		return
	}
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if !w.pass(buffer[:n]) {
			return
		}
		if err == nil {
			continue
		}
		if tcp, ok := to.(interface{ CloseWrite() error }); ok && isEnd(err) {
			_ = tcp.CloseWrite()
			return
		}
		w.abort()
		return
	}
}
