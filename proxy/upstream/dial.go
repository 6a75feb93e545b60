package upstream

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"carpool/proxy/reactor"
	"carpool/proxy/wire"
)

// Dial connects to the target and logs in. It blocks until the server is ready,
// or ctx ends or the target's ConnectTimeout is over. extra are more start-up
// parameters, which count before the target's own. The Conn belongs to the
// caller. Where a server refused, the error is or wraps a *LoginError.
func Dial(ctx context.Context, t *Target, extra []wire.Param) (*Conn, error) {
	r, err := reach(ctx, t, extra)
	if err != nil {
		return nil, err
	}
	defer r.link.close()
	return r.conn()
}

// reached is a server that is logged in and that nobody has taken over yet. Its
// link has to be closed.
type reached struct {
	session
	link   *link
	cancel CancelTarget
}

// conn makes a Conn of it, which has a descriptor of its own.
func (r *reached) conn() (*Conn, error) {
	l := r.link
	c := &Conn{
		Rest: bytes.Clone(r.in), PID: r.pid, Secret: r.secret, Params: r.params, AtLogin: r.atLogin, Settings: r.settings, Answer: r.row, Host: r.host,
		Remote: addrPort(l.raw.RemoteAddr()), Local: addrPort(l.raw.LocalAddr()), cancel: r.cancel,
	}
	var err error
	if c.FD, err = l.detach(); err != nil {
		return nil, err
	}
	if l.tls != nil {
		l.feed.Switch()
		c.TLS = &reactor.TLS{Conn: l.tls, Feed: l.feed}
	}
	return c, nil
}

// reach does what Dial does, up to the logged-in server. It isn't bound to ctx
// any more.
func reach(ctx context.Context, t *Target, extra []wire.Param) (*reached, error) {
	if err := t.check(extra); err != nil {
		return nil, err
	}
	ctx, stop := withTimeout(ctx, t.ConnectTimeout)
	defer stop()
	startup := t.startup(extra)
	hosts := t.order()
	var failure error
	for i, host := range hosts {
		c, err := t.dialHost(ctx, host, startup, len(hosts)-i)
		if err == nil {
			return c, nil
		}
		if refusal := (*LoginError)(nil); errors.As(err, &refusal) && refusal.Fatal() {
			// The other hosts hold the same database and would say the same.
			return nil, err
		}
		failure = joined(failure, err)
		if ctx.Err() != nil {
			break
		}
	}
	return nil, failure
}

// joined is both errors in one line; the first may be nil.
func joined(first, second error) error {
	if first == nil {
		return second
	}
	return fmt.Errorf("%w; %w", first, second)
}

// dialHost tries the addresses of one host. hosts is how many are left to be
// tried, this one included: each gets an equal share of the time, so that one
// that doesn't answer leaves time for the others.
func (t *Target) dialHost(ctx context.Context, host HostPort, startup []wire.Param, hosts int) (*reached, error) {
	ctx, stop := share(ctx, hosts)
	defer stop()
	addresses, err := resolve(ctx, host)
	if err != nil {
		return nil, fmt.Errorf("connecting to server %s: %w", host, err)
	}
	for i, at := range addresses {
		attempt, stop := share(ctx, len(addresses)-i)
		c, failed := t.dialAddress(attempt, at, startup)
		stop()
		if failed == nil {
			return c, nil
		}
		err = joined(err, failed)
		if refusal := (*LoginError)(nil); errors.As(err, &refusal) {
			return nil, err
		}
		if ctx.Err() != nil {
			break
		}
	}
	return nil, fmt.Errorf("connecting to server %s: %w", host, err)
}

// dialAddress makes one attempt, or two where the mode has a second choice.
func (t *Target) dialAddress(ctx context.Context, at address, startup []wire.Param) (*reached, error) {
	plain := func() (*reached, error) { return t.attempt(ctx, at, startup, false) }
	encrypted := func() (*reached, error) { return t.attempt(ctx, at, startup, true) }
	mode := t.TLS.Mode
	if at.host.unix() {
		mode = TLSDisable
	}
	switch mode {
	case TLSDisable:
		return plain()
	case TLSAllow:
		return either(ctx, plain, encrypted)
	case TLSPrefer:
		return either(ctx, encrypted, plain)
	default:
		return encrypted()
	}
}

// either makes the first attempt, and the second if the first failed for a
// reason that has to do with encryption. Of two failures it returns the more
// telling one.
func either(ctx context.Context, first, second func() (*reached, error)) (*reached, error) {
	c, err := first()
	if err == nil || ctx.Err() != nil || !aboutEncryption(err) {
		return c, err
	}
	c, again := second()
	if again == nil {
		return c, nil
	}
	refusal := (*LoginError)(nil)
	if errors.As(err, &refusal) && !errors.As(again, &refusal) {
		return nil, err
	}
	return nil, again
}

// aboutEncryption reports whether the same attempt with the other kind of
// connection might succeed: TLS didn't come about, or pg_hba.conf has no entry
// for this kind.
func aboutEncryption(err error) bool {
	if refusal := (*LoginError)(nil); errors.As(err, &refusal) {
		return refusal.Step == StepLogin && refusal.Report.Code == "28000"
	}
	failed := (*encryptionError)(nil)
	return errors.As(err, &failed)
}

// attempt connects and logs in, with TLS or without.
func (t *Target) attempt(ctx context.Context, at address, startup []wire.Param, encrypted bool) (*reached, error) {
	if !encrypted && t.TLS.ChannelBinding == BindingRequire {
		return nil, &encryptionError{errors.New("channel binding is required, and there is none without TLS")}
	}
	l, err := connect(ctx, at, &t.Socket)
	if err != nil {
		return nil, err
	}
	r := &reached{link: l, cancel: CancelTarget{at: at, socket: t.Socket, timeout: t.ConnectTimeout}}
	if err := r.logIn(ctx, t, at, startup, encrypted); err != nil {
		l.close()
		return nil, err
	}
	return r, nil
}

// logIn agrees on encryption and logs in on a link that is open.
func (r *reached) logIn(ctx context.Context, t *Target, at address, startup []wire.Param, encrypted bool) error {
	l := r.link
	r.session = session{link: l, target: t, host: at.host, encrypted: encrypted}
	if encrypted {
		r.cancel.tls = t.TLS.config(at.host)
		if err := l.encrypt(ctx, r.cancel.tls); err != nil {
			return err
		}
		r.endpoint = endpointOf(l.tls.ConnectionState())
	}
	if err := r.session.logIn(startup); err != nil {
		return l.cause(ctx, err)
	}
	r.cancel.pid, r.cancel.secret = r.pid, r.secret
	if !l.unwatch() {
		return context.Cause(ctx) // it came too late to matter, but the link is spoilt
	}
	return nil
}

// resolve returns the addresses of a host.
func resolve(ctx context.Context, host HostPort) ([]address, error) {
	if host.unix() {
		return []address{{host: host}}, nil
	}
	if ip, err := netip.ParseAddr(host.Host); err == nil {
		return []address{{host, ip}}, nil
	}
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host.Host)
	if err != nil {
		return nil, err
	}
	out := make([]address, 0, len(ips))
	for _, ip := range ips {
		out = append(out, address{host, ip.Unmap()})
	}
	return out, nil
}

// addrPort is the address of a TCP socket; not valid for others.
func addrPort(a net.Addr) netip.AddrPort {
	if tcp, ok := a.(*net.TCPAddr); ok {
		ap := tcp.AddrPort()
		return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
	}
	return netip.AddrPort{}
}

// withTimeout limits ctx by d, if d isn't zero.
func withTimeout(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	if d <= 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeoutCause(ctx, d, fmt.Errorf("not ready within %s: %w", d, context.DeadlineExceeded))
}

// share limits ctx to its part of the remaining time when n attempts have to
// fit in.
func share(ctx context.Context, n int) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok || n < 2 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, time.Until(deadline)/time.Duration(n))
}
