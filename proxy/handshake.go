package proxy

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"time"

	"carpool/proxy/auth"
	"carpool/proxy/reactor"

	"golang.org/x/sys/unix"
)

// shakeHands takes the socket off the loop and lets a goroutine do the TLS
// handshake on it. prefix is what was read of it already.
func (s *session) shakeHands(prefix []byte) {
	s.client.Pause()
	// The loop may still be using the connection's buffers: detach it when
	// this round is over.
	s.w.Post(reactor.TaskFunc(func() { s.detachForTLS(prefix) }))
}

func (s *session) detachForTLS(prefix []byte) {
	if s.state != stateLogin {
		return
	}
	fd, _, ok := s.client.Detach()
	if !ok {
		s.clientGone("received unencrypted data after SSL request")
		return
	}
	ctx, stop := context.WithCancel(s.proxy.ctx)
	s.login.stop = stop
	// The newest certificate, unless clients aren't offered TLS any more: this
	// one was.
	cfg := cmp.Or(s.proxy.current.Load().clientTLS, s.login.settings.clientTLS)
	s.proxy.spawn(func(context.Context) {
		defer stop()
		layer, err := handshake(ctx, fd, prefix, cfg)
		if !s.w.Post(reactor.TaskFunc(func() { s.secured(fd, layer, err, cfg) })) {
			_ = unix.Close(fd)
		}
	})
}

// handshake is the server's side of a TLS handshake on a descriptor that no
// loop has. The descriptor stays open whatever comes of it.
func handshake(ctx context.Context, fd int, prefix []byte, cfg *tls.Config) (*reactor.TLS, error) {
	dup, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("duplicating a socket: %w", err)
	}
	file := os.NewFile(uintptr(dup), "client")
	raw, err := net.FileConn(file)
	_ = file.Close()
	if err != nil {
		return nil, fmt.Errorf("handing a socket to TLS: %w", err)
	}
	defer raw.Close() //nolint:errcheck // a duplicate
	feed := &reactor.Feed{Raw: raw, Prefix: prefix}
	conn := tls.Server(feed, cfg)
	// HandshakeContext would only close the feed, which ends no read.
	release := context.AfterFunc(ctx, func() { _ = raw.SetDeadline(time.Unix(1, 0)) })
	defer release()
	if err := conn.Handshake(); err != nil {
		return nil, fmt.Errorf("TLS handshake: %w", cmp.Or(ctx.Err(), err))
	}
	feed.Switch()
	return &reactor.TLS{Conn: conn, Feed: feed}, nil
}

// secured goes on with the login after the handshake.
func (s *session) secured(fd int, layer *reactor.TLS, err error, cfg *tls.Config) {
	if s.state != stateLogin {
		_ = unix.Close(fd)
		return
	}
	s.login.stop = nil
	if err == nil {
		err = s.w.AttachTLS(&s.client, fd, s, *layer)
	}
	if err != nil {
		_ = unix.Close(fd)
		s.proxy.log.Debug("client's TLS handshake didn't succeed", "client", s.peer.String(), "error", err)
		s.leave(abandoned)
		return
	}
	s.tls = tlsKindOf(layer)
	s.login.endpoint = auth.EndPoint(cfg.Certificates[0].Leaf)
	state := layer.Conn.ConnectionState()
	s.login.commonName = commonNameOf(state)
	s.loginEvent(s.login.machine.Secured(state.NegotiatedProtocol))
}
