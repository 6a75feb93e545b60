package proxy

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"log/slog"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"carpool/config"
	"carpool/pool"
	"carpool/proxy/auth"
	"carpool/proxy/prepared"
	"carpool/proxy/reactor"
	"carpool/proxy/startup"
	"carpool/proxy/state"

	"golang.org/x/sys/unix"
)

// emptyQuery is how a configuration asks for an empty query.
const emptyQuery = config.EmptyQuery

// Options are what a Proxy is made of.
type Options struct {
	// Config is the validated configuration. The Proxy doesn't change it, and
	// neither may the caller afterwards.
	Config *config.Config
	// Log is where the proxy logs. It must not be nil.
	Log *slog.Logger
	// Inherited are listening sockets that somebody else has opened. If there
	// are any, listen_addr and unix_socket_dir open none. New owns them, also
	// when it fails.
	Inherited []int
	// TakeOver has the new Unix socket take the place of one that another
	// process still answers on.
	TakeOver bool
}

// Proxy is a running pooler. Make it with New, run it with Run, end it with
// Shutdown.
type Proxy struct {
	// Immutable after New, or after SetConsole.
	log       *slog.Logger
	console   Console
	verifier  *auth.Verifier
	inquiries *inquiries
	pools     *pool.Registry[*server]
	// consolePatience is how long a client of the console may take to read an
	// answer.
	consolePatience time.Duration
	// ownPatience is how long a client waits for what it has notified itself.
	ownPatience time.Duration
	workers     []*worker
	sockets     []socket
	translation *translation
	ctx         context.Context // ends when everything is to end
	stop        context.CancelFunc

	// Safe for concurrent use.
	params   state.Interner
	keys     cancelKeys
	keyring  keyring
	counters processCounters
	hazards  hazards
	hubs     hubs
	blind    rules                    // of sessions that have servers of their own
	current  atomic.Pointer[settings] // stored with routesMu held
	clients  atomic.Int64             // let in, console apart
	stopping atomic.Bool
	refusing atomic.Bool   // new clients are turned away, which may be later
	ids      atomic.Uint64 // the last that a client or server was given
	next     atomic.Uint32 // worker that gets the next connection
	tasks    sync.WaitGroup
	drain    drain
	halts    halts
	consoles consoles

	loginsWarned atomic.Int64 // when the log last told that logins give way, 0 for never

	reloadMu sync.Mutex // held by Reload; nothing that serves a client waits for it

	// Owned by the first worker, which listens.
	acceptWarned time.Duration // when the log last told that accepting fails
	spares       spares

	// Guarded by routesMu.
	routesMu  sync.Mutex
	routes    map[routeKey]*route
	opened    uint64   // routes so far
	ended     []*route // in no map any more, but with clients or servers left
	vain      []*route // whose database there isn't, the first to be left first
	databases map[string]*tenant
	users     map[string]*tenant
}

// New makes a Proxy: it loads what the configuration names and opens the
// listening sockets. The error says what is wrong and which setting it is.
func New(o Options) (*Proxy, error) {
	c := o.Config
	p := &Proxy{
		log:         o.Log,
		verifier:    auth.NewVerifier(nil),
		pools:       pool.NewRegistry[*server](nil),
		routes:      make(map[routeKey]*route),
		databases:   make(map[string]*tenant),
		users:       make(map[string]*tenant),
		translation: &translation{reserved: statementPrefix()},

		consolePatience: consolePatience,
		ownPatience:     ownPatience,
	}
	p.translation.catalog = prepared.NewCatalog(p.translation.reserved)
	p.inquiries = newInquiries(p)
	p.ctx, p.stop = context.WithCancel(context.Background())
	n, err := loadSettings(c, nil, o.Log)
	if err != nil {
		closeAll(o.Inherited)
		return nil, err
	}
	p.adopt(n)
	if len(o.Inherited) > 0 {
		p.sockets, err = inheritSockets(o.Inherited, c)
	} else {
		p.sockets, err = openSockets(c, o.TakeOver)
	}
	if err != nil {
		return nil, err
	}
	for i := range max(c.EventLoops, 1) {
		l, err := reactor.NewLoop(i, p.pools.Epoch(), c.Poller.String())
		if err != nil {
			for _, s := range p.sockets {
				s.close()
			}
			return nil, err
		}
		p.workers = append(p.workers, newWorker(l))
	}
	return p, nil
}

// statementPrefix begins the server-side names of prepared statements. It
// differs from process to process: the statements of one that is gone may live
// on where a pooler stands in front of the server. Nor can anybody guess it who
// hasn't looked at pg_prepared_statements.
func statementPrefix() string {
	var b [8]byte
	rand.Read(b[:])
	return "carpool_" + hex.EncodeToString(b[:])
}

// SetConsole gives the proxy its console. It is called before Run.
func (p *Proxy) SetConsole(c Console) { p.console = c }

// Addresses are where the proxy listens.
func (p *Proxy) Addresses() []string {
	list := make([]string, len(p.sockets))
	for i, s := range p.sockets {
		list[i] = s.addr
	}
	return list
}

// Run serves clients until Shutdown has done its work. It returns nil after a
// clean end. It is called once.
func (p *Proxy) Run() error {
	defer p.stop()
	p.spares.doors = make(map[*reactor.Listener]bool)
	p.spares.timer.Owner = spareKeeper{p}
	p.spares.refill()
	errs := make(chan error, len(p.workers))
	var loops, janitor sync.WaitGroup
	for _, w := range p.workers {
		loops.Go(func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			if err := w.Run(); err != nil {
				errs <- err
				p.Shutdown(Immediate)
			}
		})
	}
	janitor.Go(func() { p.pools.Run(p.ctx) })
	janitor.Go(func() { p.inquiries.servers.Run(p.ctx) })
	janitor.Go(p.sweep)
	janitor.Go(p.reportStats)
	p.openRoutes()
	for _, s := range p.sockets {
		if !p.workers[0].Post(reactor.TaskFunc(func() { p.listen(s) })) {
			_ = unix.Close(s.fd) // told to end before it began
		}
	}
	loops.Wait()
	p.spares.close()
	p.stop()
	p.hubs.end()
	p.inquiries.shutdown()
	p.pools.Shutdown()
	p.tasks.Wait()
	janitor.Wait()
	for _, s := range p.sockets {
		s.unlink()
	}
	select {
	case err := <-errs:
		return err
	default:
		return nil
	}
}

// openRoutes opens the pools that are to be kept warm without any client.
func (p *Proxy) openRoutes() {
	for _, d := range p.Config().Databases {
		if d.User != "" && d.Name != "*" {
			if r, ok := p.routeTo(d.Name, d.User); ok {
				p.leaveRoute(r) // nobody has come for it yet
			}
		}
	}
}

// sweepInterval is how often routes are looked through for idle ones.
const sweepInterval = 30 * time.Second

// sweep closes idle routes from time to time. It is owned by Run and ends with
// the proxy's context.
func (p *Proxy) sweep() {
	ticker := time.NewTicker(sweepInterval)
	defer ticker.Stop()
	for {
		select {
		case <-p.ctx.Done():
			return
		case <-ticker.C:
			p.closeIdleRoutes()
			p.inquiries.tidy()
		}
	}
}

func (p *Proxy) listen(s socket) {
	ln, err := p.workers[0].Listen(s.fd, p)
	if err != nil {
		_ = unix.Close(s.fd)
		p.log.Error("listening isn't possible", "address", s.addr, "error", err)
		p.Shutdown(Immediate)
		return
	}
	p.drain.listeners = append(p.drain.listeners, ln)
	if !s.tcp {
		p.spares.doors[ln] = true
	}
	p.log.Info("listening on " + s.addr)
}

// spawn runs f on a goroutine of the proxy's, which Run waits for. f ends when
// its context does.
func (p *Proxy) spawn(f func(context.Context)) { p.tasks.Go(func() { f(p.ctx) }) }

// now is the clock that everything here runs by.
func (p *Proxy) now() time.Duration { return p.pools.Now() }

// leastBusy is the worker that a new server is put on.
func (p *Proxy) leastBusy() *worker {
	return slices.MinFunc(p.workers, func(a, b *worker) int { return a.Conns() - b.Conns() })
}

// Accept implements reactor.Acceptor.
func (p *Proxy) Accept(ln *reactor.Listener, fd int, from netip.AddrPort) {
	p.counters.accepted.Add(1)
	peer := peerAt(from)
	w := p.workers[int(p.next.Add(1))%len(p.workers)]
	a := accepted{p, w, fd, peer, p.spares.taken(ln)}
	if w == p.workers[0] {
		a.Run(w.Loop)
	} else if !w.Post(a) {
		_ = unix.Close(fd)
	}
}

// acceptWarnPause is the time between two log lines about connections that
// can't be accepted.
const acceptWarnPause = 10 * time.Second

// AcceptFailed implements reactor.Acceptor.
func (p *Proxy) AcceptFailed(ln *reactor.Listener, err error) (again bool) {
	p.counters.acceptFailed.Add(1)
	p.warnOfAccepting(err)
	return p.outOfDescriptors(ln, err)
}

func (p *Proxy) warnOfAccepting(err error) {
	// It is tried again many times a second, which needn't be told each time.
	now := p.now()
	if p.acceptWarned != 0 && now-p.acceptWarned < acceptWarnPause {
		return
	}
	p.acceptWarned = now
	if errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE) {
		p.log.Warn("out of file descriptors: new clients wait; raise the limit (ulimit -n) or lower max_client_conn")
		return
	}
	p.log.Warn("accepting a connection isn't possible, waiting a little", "error", err)
}

// accepted is a new connection on its way to its worker.
type accepted struct {
	proxy  *Proxy
	worker *worker
	fd     int
	peer   peer
	spare  bool // on a descriptor that was kept back
}

// Run implements reactor.Task.
func (a accepted) Run(*reactor.Loop) {
	p, w := a.proxy, a.worker
	s := &session{proxy: p, w: w, peer: a.peer, accepted: w.Now()}
	s.id = p.ids.Add(1)
	s.timer.Owner = s
	n := p.current.Load()
	via := startup.TCP
	if a.peer.unix {
		via = startup.Unix
	} else if !acceptedInherit {
		if err := setOptions(a.fd, n.Config); err != nil {
			p.log.Debug("setting options of a client's socket", "error", err)
		}
	}
	s.login = &login{session: s, settings: n, machine: startup.New(n.startup, via), spare: a.spare}
	if err := w.Attach(&s.client, a.fd, s); err != nil {
		p.log.Warn("a new connection can't be served", "error", err)
		_ = unix.Close(a.fd)
		return
	}
	s.entered = true
	w.enter(s)
	s.become(stateLogin)
	s.beginLogin(n)
}

// admit counts a client towards max_client_conn, if there is room.
func (p *Proxy) admit(s *session, maxClients int) bool {
	if p.clients.Add(1) > int64(maxClients) {
		p.clients.Add(-1)
		return false
	}
	s.admitted = true
	return true
}

func containsFold(list []string, name string) bool {
	return slices.ContainsFunc(list, func(s string) bool { return strings.EqualFold(s, name) })
}

// arrival is a server that was just dialed, on its way to its worker.
type arrival struct{ server *server }

// Run implements reactor.Task.
func (a arrival) Run(*reactor.Loop) { a.server.attach() }
