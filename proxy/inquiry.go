package proxy

import (
	"context"
	"errors"
	"maps"
	"sync"
	"time"

	"carpool/pool"
	"carpool/proxy/auth"
	"carpool/proxy/upstream"
)

// Users who aren't in auth_file are looked up by auth_query. It runs on
// connections that are opened for nothing else: no client's parameter, role or
// query ever touches them, and what they have for a search path isn't up to
// anybody who has yet to prove who he is.

const (
	inquiryAttempts = 3      // for connections that proved dead
	mostFound       = 10_000 // answers that are remembered
)

// errInquiry is what an auth_query fails with that got an answer of no use.
var errInquiry = errors.New("auth_query has to answer with one row of two columns, the user's name and the secret")

// found is what came of a lookup. err says that it is not known whether there
// is such a user.
type found struct {
	secret auth.Secret
	known  bool
	err    error
}

// inquiries looks users up. Any goroutine may use it.
type inquiries struct {
	proxy   *Proxy
	servers *pool.Registry[*upstream.Inquirer]

	counters lookupCounters // atomic

	// Guarded by mu. With it held the pool isn't asked for anything that it would
	// answer by calling back.
	mu      sync.Mutex
	sources map[inquirySource]*pool.Pool[*upstream.Inquirer]
	flights map[inquiryKey]*inquiry
	answers map[inquiryKey]answered
}

// answered is an answer that is remembered. That there is no such user is
// remembered as well as anything else: otherwise the time until a challenge comes
// would tell.
type answered struct {
	secret auth.Secret
	known  bool
	at     time.Duration
}

// inquiry is one question that is being asked, for all sessions that want its
// answer.
type inquiry struct {
	of     *inquiries
	key    inquiryKey
	pool   *pool.Pool[*upstream.Inquirer]
	ticket pool.Ticket[*upstream.Inquirer]

	attempts int // owned by whoever has its turn: the one who queued it, then the goroutine that asks

	sessions []*session // guarded by of.mu
}

func newInquiries(p *Proxy) *inquiries {
	return &inquiries{
		proxy:   p,
		servers: pool.NewRegistry[*upstream.Inquirer](pool.NewQuota("auth_query", inquirersAll)),
		sources: make(map[inquirySource]*pool.Pool[*upstream.Inquirer]),
		flights: make(map[inquiryKey]*inquiry),
		answers: make(map[inquiryKey]answered),
	}
}

// remembered returns an answer that is young enough.
func (q *inquiries) remembered(key inquiryKey) (a answered, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	a, ok = q.answers[key]
	return a, ok && q.servers.Now()-a.at < key.settings.AuthQueryMaxAge
}

// forget has the next login ask again, unless that has happened meanwhile.
func (q *inquiries) forget(key inquiryKey, s auth.Secret) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if a, ok := q.answers[key]; ok && a.secret.Equal(s) {
		delete(q.answers, key)
	}
}

// ask has s told what comes of the question, by inquired on its loop, unless it
// is withdrawn. Sessions that want the same share one question.
func (q *inquiries) ask(key inquiryKey, s *session) *inquiry {
	q.mu.Lock()
	f, ok := q.flights[key]
	if ok {
		f.sessions = append(f.sessions, s)
		q.mu.Unlock()
		return f
	}
	f = &inquiry{of: q, key: key, pool: q.sourceLocked(key.inquirySource), sessions: []*session{s}}
	f.ticket.Waiter, f.ticket.Home = f, -1
	q.flights[key] = f
	q.mu.Unlock()
	f.depart((*pool.Pool[*upstream.Inquirer]).Checkout)
	return f
}

// forgetUser has the next login of a user ask again, whatever the database.
func (q *inquiries) forgetUser(user string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	maps.DeleteFunc(q.answers, func(k inquiryKey, _ answered) bool { return k.user == user })
}

// withdraw takes back an ask. A question that nobody waits for and that hasn't
// its turn yet isn't asked.
func (q *inquiries) withdraw(f *inquiry, s *session) {
	q.mu.Lock()
	for i, other := range f.sessions {
		if other == s {
			f.sessions = append(f.sessions[:i], f.sessions[i+1:]...)
			break
		}
	}
	idle := len(f.sessions) == 0
	q.mu.Unlock()
	if !idle || !f.pool.Withdraw(&f.ticket) {
		return
	}
	// Somebody may have joined since.
	q.mu.Lock()
	idle = len(f.sessions) == 0
	if idle && q.flights[f.key] == f {
		delete(q.flights, f.key)
	}
	q.mu.Unlock()
	if !idle {
		f.depart((*pool.Pool[*upstream.Inquirer]).CheckoutAgain)
	}
}

// depart asks for a connection.
func (f *inquiry) depart(checkout func(*pool.Pool[*upstream.Inquirer], *pool.Ticket[*upstream.Inquirer], time.Duration) (pool.Lease[*upstream.Inquirer], pool.Outcome, error)) {
	lease, outcome, err := checkout(f.pool, &f.ticket, f.of.servers.Now())
	if outcome != pool.Queued {
		f.Deliver(&f.ticket, lease, err)
	}
}

// Deliver implements pool.Waiter.
func (f *inquiry) Deliver(_ *pool.Ticket[*upstream.Inquirer], lease pool.Lease[*upstream.Inquirer], err error) {
	if err != nil {
		f.arrive(found{err: err})
		return
	}
	f.of.proxy.spawn(func(ctx context.Context) { f.converse(ctx, lease) })
}

// converse asks the question on a goroutine of the proxy's.
func (f *inquiry) converse(ctx context.Context, lease pool.Lease[*upstream.Inquirer]) {
	q, server := f.of, lease.Value
	f.attempts++
	ctx, stop := context.WithTimeoutCause(ctx, f.key.settings.inquiryTimeout(), errors.New("auth_query takes too long"))
	defer stop()
	rows, err := server.Ask(ctx, f.key.query, f.key.user)
	again := err != nil && !server.Fit() && server.Asked() > 1 && ctx.Err() == nil && f.attempts < inquiryAttempts
	if server.Fit() {
		lease.Checkin(q.servers.Now())
	} else {
		lease.Discard(pool.ReasonBroken, q.servers.Now())
	}
	if again { // it may have been dead for long
		f.depart((*pool.Pool[*upstream.Inquirer]).CheckoutAgain)
		return
	}
	answer := found{err: err}
	if err == nil {
		answer.secret, answer.known, answer.err = secretIn(rows, f.key.user)
	}
	f.arrive(answer)
}

// secretIn reads the answer of an auth_query for a user.
func secretIn(rows [][]upstream.Value, user string) (s auth.Secret, known bool, err error) {
	switch {
	case len(rows) == 0:
		return auth.Secret{}, false, nil
	case len(rows) > 1 || len(rows[0]) != 2 || rows[0][0].Null:
		return auth.Secret{}, false, errInquiry
	case rows[0][0].Text != user:
		return auth.Secret{}, false, errors.New("auth_query answers with another user than the one it was asked for")
	}
	return auth.ParseSecret(rows[0][1].Text), true, nil // NULL is no secret
}

// arrive gives the answer to all who wait for it.
func (f *inquiry) arrive(a found) {
	q := f.of
	if nobody(a.err) {
		a.err = nil
	}
	q.counters.note(a)
	q.mu.Lock()
	delete(q.flights, f.key)
	sessions := f.sessions
	f.sessions = nil
	if a.err == nil && f.key.settings.AuthQueryMaxAge > 0 {
		a.secret = q.rememberLocked(f.key, a)
	}
	q.mu.Unlock()
	if a.known {
		q.proxy.verifier.Resemble(a.secret)
	}
	if a.err != nil && q.proxy.ctx.Err() == nil && !q.proxy.stopping.Load() {
		q.proxy.log.Warn("auth_query didn't work", "database", f.key.database, "auth_user", f.key.inquirySource.user, "error", a.err, "hint", inquiryHint(a.err))
	}
	for _, s := range sessions {
		s.w.Post(inquired{s, f, a})
	}
}

// nobody reports whether an error says by itself that there is no such user: a
// fallback entry leads to a database that doesn't exist, or the name isn't text
// in the database's encoding, which anybody may make happen.
func nobody(err error) bool {
	var refusal *upstream.LoginError
	if !errors.As(err, &refusal) {
		return false
	}
	code := refusal.Report.Code
	return refusal.Step == upstream.StepLogin && code == "3D000" || refusal.Step == upstream.StepInquiry && code == "22021"
}

// inquiryHint says what to do about an error that operators run into.
func inquiryHint(err error) string {
	var refusal *upstream.LoginError
	var credential *upstream.CredentialError
	switch {
	case errors.As(err, &credential):
		return "auth_user's password belongs into auth_file"
	case !errors.As(err, &refusal):
		return ""
	case refusal.Report.Code == "42883", refusal.Report.Code == "42P01":
		return "names in auth_query have to be qualified: it runs with search_path = " + inquirerPath
	case refusal.Report.Code == "42501":
		return "auth_user has to be a superuser, or auth_query to call a function that is SECURITY DEFINER"
	}
	return ""
}

// rememberLocked notes an answer. What has been computed from the same secret
// before is kept.
func (q *inquiries) rememberLocked(key inquiryKey, a found) auth.Secret {
	s := a.secret
	now := q.servers.Now()
	old, ok := q.answers[key]
	if ok && old.secret.Equal(s) {
		s = old.secret
	}
	if !ok && len(q.answers) >= mostFound {
		for k := range q.answers { // any one: to look for the oldest would take long
			delete(q.answers, k)
			break
		}
	}
	q.answers[key] = answered{s, a.known, now}
	return s
}

// tidyLocked forgets the answers that are too old, or of another configuration.
func (q *inquiries) tidyLocked(now time.Duration) {
	current := q.proxy.current.Load()
	maps.DeleteFunc(q.answers, func(k inquiryKey, a answered) bool {
		return k.settings != current || now-a.at >= k.settings.AuthQueryMaxAge
	})
}

// tidy closes the way to databases that nobody asks any more. It is called from
// time to time.
func (q *inquiries) tidy() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.tidyLocked(q.servers.Now())
	q.tidySourcesLocked()
}

// shutdown ends all questions.
func (q *inquiries) shutdown() { q.servers.Shutdown() }
