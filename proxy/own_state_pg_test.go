package proxy

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"carpool/proxy/wire"
)

// Many clients on few servers, each with a session of its own that changes at
// random, against a model of what each must see (own_state_model). That the model
// is right is shown by clients that are connected to Postgres itself.

var (
	ownStateChecks = flag.Int64("own-state-checks", 4_000, "how many answers TestEveryClientHasItsOwnState and its like look at")
	ownStateSeed   = flag.Uint64("own-state-seed", 0, "what they draw from; 0 is anything")
)

const (
	ownClients  = 64
	ownServers  = 4
	ownDatabase = "own"
)

func TestEveryClientHasItsOwnState(t *testing.T) {
	ownState(t, ownStateSettings, nil, *ownStateChecks)
}

func TestEveryClientHasItsOwnStateWhileAudited(t *testing.T) {
	ownState(t, "session_audit = always\n"+ownStateSettings, nil, *ownStateChecks/2)
}

func TestEveryClientHasItsOwnStateAndItsNotifications(t *testing.T) {
	ownState(t, ownStateSettings, newNoteBook(ownClients), *ownStateChecks/2)
}

// TestOwnStateIsPostgressOwn: with no pooler between them and Postgres clients
// see the same.
func TestOwnStateIsPostgressOwn(t *testing.T) {
	ownState(t, "", newNoteBook(ownClients), *ownStateChecks/2)
}

const ownStateSettings = "deferred_begin = 1\npool_mode = transaction\ndefault_pool_size = 4\nevent_loops = 2\n"

// ownCrowd is the clients together.
type ownCrowd struct {
	t       *testing.T
	address string
	book    *noteBook
	seed    uint64
	base    [slots]string // of a client that asks for nothing
	goal    int64
	checks  atomic.Int64
	came    atomic.Int64 // clients, one after another
	heard   atomic.Int64
	quiet   sync.WaitGroup // until nobody sends any more
}

// ownState has clients do at random what changes a session. Without settings
// there is no pooler.
func ownState(t *testing.T, settings string, book *noteBook, goal int64) {
	c := &ownCrowd{t: t, address: postgres.Address(), book: book, seed: *ownStateSeed, goal: goal}
	if c.seed == 0 {
		c.seed = rand.Uint64()
	}
	makeOwnDatabase(t)
	c.base = freshOf(t)
	var p *pooler
	if settings != "" {
		p = startPooler(t, settings)
		c.address = p.address()
	}
	var wait sync.WaitGroup
	c.quiet.Add(ownClients)
	for number := range ownClients {
		wait.Go(func() { c.live(number) })
	}
	wait.Wait()
	t.Logf("seed %d: %d answers looked at, %d clients came; %d notifications sent, %d heard", c.seed, c.checks.Load(), c.came.Load(), c.sent(), c.heard.Load())
	if p == nil {
		return
	}
	for _, pool := range p.Pools() {
		t.Logf("%+v", pool.Traffic)
		if pool.Pool.Open > ownServers {
			t.Errorf("%d servers", pool.Pool.Open)
		}
	}
}

func (c *ownCrowd) sent() int {
	if c.book == nil {
		return 0
	}
	return c.book.total()
}

// makeOwnDatabase makes the database of these tests, once for all of them.
func makeOwnDatabase(t *testing.T) {
	t.Helper()
	if direct(t, "select count(*) from pg_database where datname = '"+ownDatabase+"'") != "0" {
		return
	}
	if err := postgres.Exec(context.Background(), "postgres", "create database "+ownDatabase); err != nil {
		t.Fatal(err)
	}
	for i := range ownSchemas {
		if err := postgres.Exec(context.Background(), ownDatabase, fmt.Sprintf(
			"create schema own_%[1]d; create table own_%[1]d.place as select 'own_%[1]d' as name; "+
				"grant usage on schema own_%[1]d to public; grant select on own_%[1]d.place to public", i)); err != nil {
			t.Fatal(err)
		}
	}
}

// freshOf are the parameters of a client that asks for nothing.
func freshOf(t *testing.T) (base [slots]string) {
	t.Helper()
	k := talk(t, postgres.Address(), param("database", ownDatabase)...)
	for s := range slots {
		if s != slotTenant {
			base[s] = k.query("show " + slotNames[s])
		}
	}
	_ = k.conn.Close()
	return base
}

// live is one client after another, as the same number. When nobody sends any
// more, the last one has to hear what it hasn't yet.
func (c *ownCrowd) live(number int) {
	one, ears := c.act(number)
	if one == nil || ears == nil {
		return
	}
	c.quiet.Wait()
	if err := one.await(); err != nil && !c.t.Failed() {
		c.t.Errorf("seed %d, client %d: %v\nbehind\n\t%s", c.seed, number, err, one.story())
	}
	c.heard.Add(int64(ears.heard))
}

// act is what they do until it is enough.
func (c *ownCrowd) act(number int) (one ownClient, ears *ear) {
	defer c.quiet.Done()
	serial := 0
	for generation := uint64(0); !c.over(); generation++ {
		rng := rand.New(rand.NewPCG(c.seed, generation<<32|uint64(number)))
		a := &actor{rng: rng, number: number, serial: serial, book: c.book, unicode: number%2 == 0}
		ears = newEar(c.book)
		if one = c.come(a, ears); one == nil {
			return nil, nil
		}
		for stay := true; stay && !c.over(); stay = rng.IntN(300) != 0 {
			checks, err := one.round()
			c.checks.Add(int64(checks))
			if err != nil {
				c.t.Errorf("seed %d, client %d: %v\nbehind\n\t%s", c.seed, number, err, one.story())
			}
		}
		serial = a.serial
		if ears != nil && c.over() && !c.t.Failed() {
			if err := one.rest(); err != nil {
				c.t.Errorf("seed %d, client %d: %v", c.seed, number, err)
			}
			break
		}
		one.leave()
		if ears != nil {
			c.heard.Add(int64(ears.heard))
		}
		one, ears = nil, nil
	}
	return one, ears
}

func (c *ownCrowd) over() bool { return c.t.Failed() || c.checks.Load() >= c.goal }

// ownClient is one of these clients.
type ownClient interface {
	round() (checks int, err error)
	// rest ends what holds a server.
	rest() error
	await() error
	leave()
	story() history
}

func (b *blunt) story() history  { return b.past }
func (p *polite) story() history { return p.past }

// come connects a client with parameters of its own.
func (c *ownCrowd) come(a *actor, ears *ear) ownClient {
	c.came.Add(1)
	base := c.base
	params := map[string]string{}
	options := ""
	escape := strings.NewReplacer(`\`, `\\`, " ", `\ `)
	spared := a.any() // one that it doesn't bring, so that there is one to be reset amid others
	for spared == slotPath {
		spared = a.any()
	}
	for s := range slots {
		if s == spared || s == slotEncoding && !a.unicode || s != slotPath && a.n(3) != 0 {
			continue
		}
		var written string
		a.own[s] = true
		written, base[s] = a.wish(s)
		if s == slotStyle {
			written = base[s] // how servers spell it is told with the first answer of one
		}
		if s == slotTenant || a.n(2) == 0 {
			base[s] = strings.ReplaceAll(base[s], "é", "e") // the server has no encoding for it yet
			written = strings.ReplaceAll(written, "é", "e")
			options += " -c " + slotNames[s] + "=" + escape.Replace(written)
			continue
		}
		params[slotNames[s]] = written
	}
	if options != "" {
		params["options"] = options
	}
	a.mind = newMind(base)
	if a.unicode {
		list := param("database", ownDatabase)
		for name, value := range params {
			list = append(list, wire.Param{Name: name, Value: value})
		}
		k := talk(c.t, c.address, list...)
		k.doing = fmt.Sprintf("client %d, seed %d", a.number, c.seed)
		return &blunt{actor: a, k: k, ear: ears, past: history{fmt.Sprintf("comes with %q", params)}}
	}
	p, err := goPolitely(a, ears, fmt.Sprintf("postgres://postgres@%s/%s?sslmode=disable", c.address, ownDatabase), params)
	if err != nil {
		c.t.Errorf("client %d: %v", a.number, err)
		return nil
	}
	p.past = history{fmt.Sprintf("comes with %q", params)}
	return p
}
