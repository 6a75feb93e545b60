package pool

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"
)

// script runs a ledger from lines of text, each an event and what must come of
// it, in order:
//
//	quota db 3                      a shared limit
//	pool p size=2 quota=db          a pool; see setting
//	ask a@p/1 home=2 -> wait, dial p/1   client a wants variant 1 of pool p
//	again a@p -> a=1                the same, keeping its place
//	dialed p -> a=1                 the oldest dial of p succeeded with value 1
//	failed p refused -> a!refused   or failed; "fatal..." is fatal, "soon..." is Soon
//	give a -> b=1                   a ends its lease, well
//	drop a -> close 1 broken        or not well
//	leave a -> gone                 a waits no longer
//	why a -> size                   what a waits for
//	at 3s -> close 1 idle timeout   time passes; a tick if one is due
//	set p size=3; replace p size=3; limit db 2; retire p; pause p; resume p; remove p;
//	attach p; detach p; lose p 1; shutdown
type script struct {
	t       *testing.T
	led     ledger[int]
	now     time.Duration
	pools   map[string]*account[int]
	quotas  map[string]*Quota
	tickets map[string]*Ticket[int]
	leases  map[string]*Lease[int]
	values  int
	dials   []*dial[int]
	out     []string
}

type scriptErr string

func (e scriptErr) Error() string { return string(e) }
func (e scriptErr) Fatal() bool   { return strings.HasPrefix(string(e), "fatal") }

func (e scriptErr) Soon() bool { return strings.HasPrefix(string(e), "soon") }

func runScript(t *testing.T, text string) {
	t.Helper()
	s := &script{
		t:       t,
		pools:   make(map[string]*account[int]),
		quotas:  make(map[string]*Quota),
		tickets: make(map[string]*Ticket[int]),
		leases:  make(map[string]*Lease[int]),
	}
	s.led.setUp(nil, 1)
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		event, want, _ := strings.Cut(line, "->")
		s.out = nil
		s.run(strings.Fields(event))
		if got := strings.Join(s.out, ", "); got != strings.TrimSpace(want) {
			t.Fatalf("%s\n got: %s", line, got)
		}
		if err := s.led.verify(); err != nil {
			t.Fatalf("%s\n%v", line, err)
		}
	}
}

func (s *script) say(format string, args ...any) {
	s.out = append(s.out, fmt.Sprintf(format, args...))
}

func (s *script) run(f []string) {
	s.t.Helper()
	var fx effects[int]
	arg := func(i int) string {
		if i < len(f) {
			return f[i]
		}
		return ""
	}
	p := s.pools[arg(1)]
	switch f[0] {
	case "quota":
		s.quotas[f[1]] = NewQuota(f[1], s.number(f[2]))
	case "pool":
		s.pools[f[1]] = s.led.open(s.settings(Settings[int]{Name: f[1], LoginRetry: 15 * time.Second}, f[2:]), s.now, &fx)
	case "set":
		s.led.configure(p, s.settings(p.set, f[2:]), s.now, &fx)
	case "limit":
		s.led.setLimit(s.quotas[f[1]], s.number(f[2]), s.now, &fx)
	case "ask", "again":
		s.ask(f, &fx)
	case "dialed", "failed":
		s.endDial(f, &fx)
	case "give":
		l := s.lease(f[1])
		s.led.checkin(l.end(), s.now, &fx)
	case "drop":
		l := s.lease(f[1])
		s.led.discard(l.end(), ReasonBroken, s.now, &fx)
	case "leave":
		if s.led.withdraw(s.tickets[f[1]]) {
			s.say("gone")
		}
	case "why":
		names := map[Obstacle]string{
			NoObstacle: "nothing", ObstacleOpening: "opening", ObstaclePaused: "paused", ObstacleDials: "dials",
			ObstacleBackoff: "backoff", ObstacleSize: "size", ObstacleQuota: "quota",
		}
		t := s.tickets[f[1]]
		o, q := NoObstacle, (*Quota)(nil)
		if t.lane != nil {
			o, q = s.led.obstacle(t.lane.acct, t, s.now)
		}
		s.say("%s", names[o])
		if q != nil {
			s.say("%s", q.name)
		}
	case "at":
		d, err := time.ParseDuration(f[1])
		if err != nil {
			s.t.Fatal(err)
		}
		s.now = d
		if s.led.due <= s.now {
			s.led.tick(s.now, &fx)
			if s.led.due <= s.now {
				s.t.Fatalf("at %v the next tick is due at %v", s.now, s.led.due)
			}
		}
	case "replace":
		s.led.replace(p, s.settings(p.set, f[2:]), s.now, &fx)
	case "retire":
		s.led.retire(p, s.now, &fx)
	case "pause":
		s.led.pause(p, s.now, &fx)
	case "resume":
		s.led.resume(p, s.now, &fx)
	case "remove":
		s.led.remove(p, s.now, &fx)
	case "attach":
		s.led.attach(p, 1, s.now, &fx)
	case "detach":
		s.led.attach(p, -1, s.now, &fx)
	case "lose":
		if !s.led.lost(p, s.number(f[2]), ReasonLost, s.now, &fx) {
			s.say("not idle")
		}
	case "shutdown":
		s.led.shutdown(s.now, &fx)
	default:
		s.t.Fatalf("unknown event %q", f)
	}
	s.take(&fx)
}

// settings applies words such as size=2 or quota=db,user to a pool's settings.
func (s *script) settings(set Settings[int], words []string) Settings[int] {
	for _, w := range words {
		name, v, _ := strings.Cut(w, "=")
		switch name {
		case "size":
			set.Size = s.number(v)
		case "min":
			set.MinSize = s.number(v)
		case "reserve":
			set.ReserveSize = s.number(v)
			set.ReserveTimeout = 5 * time.Second
		case "dials":
			set.MaxDials = s.number(v)
		case "idle":
			set.IdleTimeout = time.Duration(s.number(v)) * time.Second
		case "lifetime":
			set.Lifetime = time.Duration(s.number(v)) * time.Second
		case "roundrobin":
			set.RoundRobin = true
		case "warm":
			set.Warm = true
		case "host":
			set.Host = v
		case "quota":
			set.Quotas = nil
			for q := range strings.SplitSeq(v, ",") {
				set.Quotas = append(set.Quotas, s.quotas[q])
			}
		default:
			s.t.Fatalf("unknown setting %q", w)
		}
	}
	return set
}

func (s *script) number(v string) int {
	n, err := strconv.Atoi(v)
	if err != nil {
		s.t.Fatal(err)
	}
	return n
}

func (s *script) lease(client string) *Lease[int] {
	l := s.leases[client]
	if l == nil {
		s.t.Fatalf("%s has no lease", client)
	}
	delete(s.leases, client)
	return l
}

func (s *script) ask(f []string, fx *effects[int]) {
	name, where, _ := strings.Cut(f[1], "@")
	where, variant, _ := strings.Cut(where, "/")
	t := s.tickets[name]
	if t == nil {
		t = new(Ticket[int])
		s.tickets[name] = t
	}
	t.Home, t.Variant = -1, 0
	if variant != "" {
		t.Variant = Variant(s.number(variant))
	}
	if len(f) > 2 {
		t.Home = s.number(strings.TrimPrefix(f[2], "home="))
	}
	lease, outcome, err := s.led.checkout(s.pools[where], t, f[0] == "again", s.now, fx)
	switch outcome {
	case Granted:
		s.grant(t, lease)
	case Queued:
		s.say("wait")
	case Refused:
		s.say("refused %v", err)
	}
}

func (s *script) grant(t *Ticket[int], l Lease[int]) {
	name := s.client(t)
	if t.Home >= 0 {
		l.SetHome(t.Home)
	}
	s.leases[name] = &l
	s.say("%s=%d", name, l.Value)
}

func (s *script) client(t *Ticket[int]) string {
	for name, other := range s.tickets {
		if other == t {
			return name
		}
	}
	s.t.Fatal("effect for an unknown ticket")
	return ""
}

func (s *script) endDial(f []string, fx *effects[int]) {
	for i, d := range s.dials {
		if d.acct.set.Name != f[1] {
			continue
		}
		s.dials = append(s.dials[:i], s.dials[i+1:]...)
		if f[0] == "failed" {
			s.led.dialFailed(d, scriptErr(f[2]), s.now, fx)
			return
		}
		s.values++
		s.led.dialed(d, s.values, s.now, fx)
		return
	}
	s.t.Fatalf("%s isn't dialing", f[1])
}

func (s *script) take(fx *effects[int]) {
	for i := range fx.n {
		switch e := fx.at(i); e.kind {
		case effectDeliver:
			if e.err != nil {
				s.say("%s!%v", s.client(e.ticket), e.err)
			} else {
				s.grant(e.ticket, e.lease)
			}
		case effectClose:
			s.say("close %d %v", e.lease.Value, e.reason)
		case effectDial:
			s.dials = append(s.dials, e.dial)
			where := e.dial.acct.set.Name
			if e.dial.variant != 0 {
				where += "/" + strconv.Itoa(int(e.dial.variant))
			}
			s.say("dial %s", where)
		case effectCancel:
			s.say("cancel %s", e.dial.acct.set.Name)
		}
	}
}
