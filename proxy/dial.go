package proxy

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/maphash"

	"carpool/pool"
	"carpool/proxy/prepared"
	"carpool/proxy/state"
	"carpool/proxy/upstream"
	"carpool/proxy/wire"
)

// variant is a set of start-up parameters that clients in session mode have
// brought, kept while any of them is there.
type variant struct {
	params  *state.Params
	clients int
}

// variantSeed keeps clients from choosing parameters whose hashes collide.
var variantSeed = maphash.MakeSeed()

// wantVariant notes a client whose server has to be opened with params, and
// returns the variant that such servers are. Without any they are the route's
// plain private ones.
func (r *route) wantVariant(params *state.Params) pool.Variant {
	if params.Len() == 0 {
		return r.terms.Load().variant(purposePrivate)
	}
	var h maphash.Hash
	h.SetSeed(variantSeed)
	for p := range params.All() {
		var n [4]byte
		binary.BigEndian.PutUint32(n[:], uint32(len(p.Name)))
		h.Write(n[:])
		h.WriteString(p.Name)
		h.WriteString(p.Value)
		h.WriteByte(0)
	}
	v := max(pool.Variant(h.Sum64()), firstPrivate)
	r.mu.Lock()
	defer r.mu.Unlock()
	known, ok := r.variants[v]
	if !ok {
		known = &variant{params: params}
		r.variants[v] = known
	}
	known.clients++
	return v
}

// leaveVariant takes back one wantVariant.
func (r *route) leaveVariant(v pool.Variant) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if known := r.variants[v]; known != nil { // none for a plain kind
		if known.clients--; known.clients == 0 {
			delete(r.variants, v)
		}
	}
}

var errVariantLeft = errors.New("the client it was for has left")

// dial opens a server for the pool under the terms that the pool was given with
// it, on a goroutine of the pool's.
func (r *route) dial(ctx context.Context, t *terms, v pool.Variant) (*server, error) {
	var private *state.Params
	var extra []wire.Param
	r.mu.Lock() // also: the route is complete before its first server is
	known := r.variants[v]
	r.mu.Unlock()
	if v >= firstPrivate {
		if known == nil {
			return nil, errVariantLeft
		}
		private = known.params
		for p := range private.All() {
			extra = append(extra, p)
		}
	}
	up, err := upstream.Dial(ctx, t.dest.target, extra)
	if err != nil {
		if isNoDatabase(err) {
			r.missing.Store(true)
		}
		failure := upstream.FailureOf(err)
		if errors.Is(err, context.DeadlineExceeded) {
			err = fmt.Errorf("server_connect_timeout: %w", err)
		}
		// One that was called off is nobody's trouble.
		if ctx.Err() != context.Canceled && r.proxy.ctx.Err() == nil && !r.proxy.stopping.Load() {
			r.dialFailures[failure].Add(1)
			r.proxy.log.Warn("server connection couldn't be opened", "database", r.database, "user", t.user, "error", err)
		}
		if aboutSecret(err) { // what was found of the user is old, perhaps
			r.proxy.inquiries.forgetUser(t.user)
		}
		return nil, err
	}
	r.found.Store(true)
	srv, err := r.enlist(up, t, v, private)
	if err != nil && !errors.Is(err, pool.ErrClosed) {
		r.dialFailures[upstream.FailureOther].Add(1)
	}
	return srv, err
}

// aboutSecret reports whether a server didn't like what it was logged in to with.
func aboutSecret(err error) bool {
	var login *upstream.LoginError
	var credential *upstream.CredentialError
	return errors.As(err, &credential) || errors.As(err, &login) && login.Step == upstream.StepLogin && login.Report.Code == "28P01"
}

// isNoDatabase reports whether a server has refused a login since it hasn't the
// database.
func isNoDatabase(err error) bool {
	var login *upstream.LoginError
	return errors.As(err, &login) && login.Step == upstream.StepLogin && login.Report.Code == codeNoDatabase
}

// enlist makes a server of a fresh connection and gives it to a loop.
func (r *route) enlist(up *upstream.Conn, t *terms, v pool.Variant, private *state.Params) (*server, error) {
	p := r.proxy
	if len(up.Rest) > 0 {
		_ = up.Close()
		return nil, fmt.Errorf("%s sent %d bytes after its login that nobody asked for", up.Host, len(up.Rest))
	}
	base, ok := p.reported(up.Params[:up.AtLogin])
	now, fine := p.reported(up.Params) // behind the connect query
	if !ok || !fine {
		_ = up.Close()
		return nil, fmt.Errorf("%s reports parameters beyond all limits", up.Host)
	}
	initial, given, ok := p.connectSettings(now, up.Settings)
	if !ok {
		_ = up.Close()
		return nil, fmt.Errorf("the connect_query sets more parameters than can be set again: %s", tooManyParameters())
	}
	srv := &server{
		proxy: p, route: r, up: up, params: initial, base: base, private: private, purpose: t.purposeOf(v), w: p.leastBusy(),
		id: p.ids.Add(1), opened: p.now(), since: p.now(), tls: tlsKindOf(up.TLS),
	}
	if srv.purpose == purposeTranslating {
		srv.cache = prepared.NewCache(t.cacheSize)
	}
	if private == nil {
		srv.welcome = t.dest.refreshWelcome(up.Params, initial, given)
	}
	if p.Config().LogConnections {
		from := "unix"
		if up.Local.IsValid() {
			from = up.Local.String()
		}
		p.log.Info("new connection to server (from "+from+")", "server", up.Host.String(), "database", r.database, "user", t.user, "pid", up.PID)
	}
	if !srv.w.Post(arrival{srv}) {
		_ = up.Close()
		return nil, pool.ErrClosed
	}
	return srv, nil
}

// reported are those of the parameters that a server has told of which a client
// can change. ok is false if they are beyond all limits.
func (p *Proxy) reported(told []wire.Param) (params *state.Params, ok bool) {
	tracked := make([]wire.Param, 0, len(told))
	for _, param := range told {
		if name, ok := state.Reported([]byte(param.Name)); ok {
			tracked = append(tracked, wire.Param{Name: name, Value: param.Value})
		}
	}
	return p.params.Of(tracked)
}

// connectSettings are all that a server has which reports base, with what its
// connect query has set, and those settings by themselves: clients have them as
// if they had brought them. A RESET ROLE leads to the role that the server gives
// a login, so that isn't among the latter. ok is false if there are too many.
func (p *Proxy) connectSettings(base *state.Params, settings []wire.Param) (initial, given *state.Params, ok bool) {
	initial, ok = base, true
	for _, set := range settings {
		a, b := true, true
		if value, reported := base.Value(set.Name); reported {
			set.Value = value
		} else {
			initial, a = p.params.With(initial, set.Name, set.Value)
		}
		if !state.IsIdentity(set.Name) {
			given, b = p.params.With(given, set.Name, set.Value)
		}
		ok = ok && a && b
	}
	return initial, given, ok
}

// closingWords is why a server is closed, in PgBouncer's words where it has any.
func closingWords(why pool.Reason) string {
	switch why {
	case pool.ReasonIdleTimeout:
		return "server idle timeout"
	case pool.ReasonLifetime:
		return "server lifetime over"
	case pool.ReasonRetired:
		return "obsolete connection"
	case pool.ReasonUnclean:
		return "unclean server"
	case pool.ReasonBroken:
		return "server conn crashed?"
	}
	return why.String()
}

// closeServer is what the pool calls to end a server.
func (r *route) closeServer(srv *server, why pool.Reason) {
	if r.proxy.Config().LogDisconnections {
		r.proxy.log.Info("closing because: "+closingWords(why)+age(r.proxy.now()-srv.opened), "server", srv.address(), "database", r.database)
	}
	srv.w.Post(closing{srv})
}
