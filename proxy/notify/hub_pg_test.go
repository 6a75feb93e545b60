package notify

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"carpool/bench/pgserver"
	"carpool/bench/pgserver/pgtest"
	"carpool/proxy/upstream"
)

func literal(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

func TestChannelsOfEveryName(t *testing.T) {
	h := startHub(t, dialerTo(postgres, upstream.TLSDisable), brisk())
	e := newEar()
	for _, name := range []string{
		"plain", "Upper Case", `quo"te`, `"`, `""`, `back\slash`, "semi;colon", "käse-Ω-漢字", "--", "select",
		strings.Repeat("x", MaxChannel), strings.Repeat("é", MaxChannel/2), "new\nline", "%s",
	} {
		e.listen(t, h, name)
		payload := "for " + name
		exec(t, postgres, "SELECT pg_notify(%s, %s)", literal(name), literal(payload))
		got := e.expect(t, "notes")
		if len(got.notes) != 1 || got.notes[0].Channel != name || string(got.notes[0].Payload()) != payload || got.notes[0].PID() == 0 {
			t.Errorf("%q: got %q from %d", name, got.notes, got.notes[0].PID())
		}
		h.Unlisten(e, name)
	}
	for _, name := range []string{"", strings.Repeat("x", MaxChannel+1), "ze\x00ro"} {
		h.Listen(e, name)
		if got := e.expect(t, "refused"); !errors.Is(got.err, errName) {
			t.Errorf("%q is refused with %v", name, got.err)
		}
	}
	h.Listen(e, "not\xffUTF-8") // the server's to refuse, and no harm to others
	h.Listen(e, "after")
	for range 2 {
		if got := e.next(t); (got.what == "refused") != (got.channel != "after") {
			t.Errorf("%q: %s", got.channel, got.what)
		}
	}
}

func TestPayloads(t *testing.T) {
	h := startHub(t, dialerTo(postgres, upstream.TLSDisable), brisk())
	e := newEar()
	e.listen(t, h, "c")
	for _, payload := range []string{"", "x", "é漢字😀", strings.Repeat("y", 7999), strings.Repeat("é", 3999)} {
		exec(t, postgres, "SELECT pg_notify('c', %s)", literal(payload))
		if got := e.expect(t, "notes"); string(got.notes[0].Payload()) != payload {
			t.Errorf("%d bytes came as %d", len(payload), len(got.notes[0].Payload()))
		}
	}
}

// A database of another encoding: bytes pass as they are, for a client that
// speaks that encoding.
func TestPayloadsAreNotConverted(t *testing.T) {
	exec(t, postgres, "CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
	target := &upstream.Target{
		Hosts: []upstream.HostPort{{Host: postgres.Host(), Port: uint16(postgres.Port())}},
		User:  "postgres", Database: "latin", ConnectTimeout: patience,
	}
	h := startHub(t, dialerOf(target), brisk())
	e := newEar()
	e.listen(t, h, "k\xe4se")
	if err := postgres.Exec(t.Context(), "latin", `SELECT pg_notify(convert_from('\x6bc3a47365', 'UTF8'), convert_from('\xc3a9', 'UTF8'))`); err != nil {
		t.Fatal(err)
	}
	if got := e.expect(t, "notes"); string(got.notes[0].Payload()) != "\xe9" || got.notes[0].Channel != "k\xe4se" {
		t.Errorf("got %q", got.notes)
	}
}

func TestListenersShareAChannel(t *testing.T) {
	h := startHub(t, dialerTo(postgres, upstream.TLSDisable), brisk())
	one, two := newEar(), newEar()
	one.listen(t, h, "shared")
	two.listen(t, h, "shared")
	one.listen(t, h, "own")
	exec(t, postgres, "NOTIFY shared, '1'; NOTIFY own, '2'; NOTIFY shared, '3'")
	if got := one.expect(t, "notes"); payloads(got.notes) != "1 2 3" {
		t.Errorf("one got %s", payloads(got.notes))
	}
	if got := two.expect(t, "notes"); payloads(got.notes) != "1 3" {
		t.Errorf("two got %s", payloads(got.notes))
	}
	two.listen(t, h, "theirs")
	exec(t, postgres, "NOTIFY theirs, '1'; NOTIFY own, '2'; NOTIFY shared, '3'; NOTIFY nobodys, '4'")
	if got := one.expect(t, "notes"); payloads(got.notes) != "2 3" {
		t.Errorf("one got %s", payloads(got.notes))
	}
	if got := two.expect(t, "notes"); payloads(got.notes) != "1 3" {
		t.Errorf("two got %s", payloads(got.notes))
	}
	h.Unlisten(two, "theirs")
	h.Unlisten(one, "shared")
	exec(t, postgres, "NOTIFY shared, '4'; NOTIFY own, '5'")
	if got := one.expect(t, "notes"); payloads(got.notes) != "5" {
		t.Errorf("one got %s", payloads(got.notes))
	}
	if got := two.expect(t, "notes"); payloads(got.notes) != "4" {
		t.Errorf("two got %s", payloads(got.notes))
	}
	h.UnlistenAll(one)
	exec(t, postgres, "NOTIFY own, '6'; NOTIFY shared, '7'")
	two.expect(t, "notes")
	if got := one.take(); len(got) > 0 {
		t.Errorf("one is told %v", got)
	}
	if s := h.Stats(); s.Listeners != 1 || s.Channels != 1 || !s.Connected || s.PID == 0 || s.Gaps != 0 || s.Delivered != 12 {
		t.Errorf("stats: %+v", s)
	}
}

func payloads(notes []Note) string {
	var all []string
	for _, n := range notes {
		all = append(all, string(n.Payload()))
	}
	return strings.Join(all, " ")
}

// hubBackends counts the hubs' servers.
func hubBackends(t testing.TB, server *pgserver.Server) string {
	t.Helper()
	n, err := server.Value(t.Context(), "", "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'hub'")
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestConnectionComesAndGoes(t *testing.T) {
	server := pgtest.Start(t, pgserver.Options{})
	tm := brisk()
	tm.linger = 20 * time.Millisecond
	h := startHub(t, dialerTo(server, upstream.TLSDisable), tm)
	if got := hubBackends(t, server); got != "0" {
		t.Errorf("%s connections before anybody listens", got)
	}
	for range 3 {
		e := newEar()
		e.listen(t, h, "c")
		if got := hubBackends(t, server); got != "1" {
			t.Errorf("%s connections", got)
		}
		h.UnlistenAll(e)
		eventually(t, "the connection is closed", func() bool { return hubBackends(t, server) == "0" })
		if s := h.Stats(); s.Connected || s.PID != 0 || s.Gaps != 0 {
			t.Errorf("stats: %+v", s)
		}
	}
}

// awaitRestored reads up to Restored, and checks what comes before: Lost once,
// each channel once.
func awaitRestored(t *testing.T, e *ear, channels int) {
	t.Helper()
	e.expect(t, "lost")
	seen := map[string]bool{}
	for {
		s := e.next(t)
		switch s.what {
		case "subscribed":
			if seen[s.channel] {
				t.Fatalf("%s is subscribed twice", s.channel)
			}
			seen[s.channel] = true
		case "restored":
			if len(seen) != channels {
				t.Fatalf("restored with %d of %d channels", len(seen), channels)
			}
			return
		default:
			t.Fatalf("told %q", s.what)
		}
	}
}

func TestBackendKilled(t *testing.T) {
	h := startHub(t, dialerTo(postgres, upstream.TLSDisable), brisk())
	e, other := newEar(), newEar()
	e.listen(t, h, "a")
	e.listen(t, h, "b")
	other.listen(t, h, "a")
	for i := range 5 {
		exec(t, postgres, "SELECT pg_terminate_backend(%d)", h.Stats().PID)
		awaitRestored(t, e, 2)
		awaitRestored(t, other, 1)
		exec(t, postgres, "NOTIFY a, 'after %d'", i)
		if got := e.expect(t, "notes"); payloads(got.notes) != fmt.Sprint("after ", i) {
			t.Errorf("got %s", payloads(got.notes))
		}
		other.expect(t, "notes")
	}
	if s := h.Stats(); s.Gaps != 5 {
		t.Errorf("stats: %+v", s)
	}
}

func TestReopen(t *testing.T) {
	h := startHub(t, dialerTo(postgres, upstream.TLSDisable), brisk())
	h.Reopen() // there is nothing to be opened anew
	e := newEar()
	h.Listen(e, "a")
	h.Reopen() // while it is being opened, perhaps
	for s := e.next(t); s.what != "subscribed"; {
		s = e.next(t)
	}
	for i := range 3 {
		e.take()
		pid := h.Stats().PID
		h.Reopen()
		if i == 2 {
			h.Reopen() // again, at once
		}
		for s := e.next(t); s.what != "restored"; {
			s = e.next(t)
		}
		eventually(t, "another server is asked", func() bool { now := h.Stats().PID; return now != 0 && now != pid })
		eventually(t, "it is the only one", func() bool { return hubBackends(t, postgres) == "1" })
	}
	exec(t, postgres, "NOTIFY a, 'x'")
	for {
		if s := e.next(t); s.what == "notes" {
			break
		}
	}
}

func TestDatabaseRestarts(t *testing.T) {
	server := pgtest.Start(t, pgserver.Options{})
	h := startHub(t, dialerTo(server, upstream.TLSDisable), brisk())
	const channels = 300 // more than one batch
	e := newEar()
	for i := range channels {
		e.listen(t, h, fmt.Sprint("c", i))
	}
	for _, mode := range []pgserver.Shutdown{pgserver.Fast, pgserver.Immediate} {
		if err := server.Down(t.Context(), mode); err != nil {
			t.Fatal(err)
		}
		late := newEar()
		h.Listen(late, "late") // while it is down
		h.Listen(late, "c0")
		h.Unlisten(late, "c0")
		if err := server.Up(t.Context()); err != nil {
			t.Fatal(err)
		}
		awaitRestored(t, e, channels)
		late.expect(t, "subscribed")
		exec(t, server, "NOTIFY c7, 'x'; NOTIFY late, 'y'")
		if got := e.expect(t, "notes"); payloads(got.notes) != "x" {
			t.Errorf("got %s", payloads(got.notes))
		}
		if got := late.expect(t, "notes"); payloads(got.notes) != "y" {
			t.Errorf("got %s", payloads(got.notes))
		}
		h.UnlistenAll(late)
	}
}

// A server that stands still is found out by the question after a silence, one
// that lives answers it.
func TestSilence(t *testing.T) {
	tm := brisk()
	tm.silence, tm.patience = time.Millisecond, time.Second
	h := startHub(t, dialerTo(postgres, upstream.TLSDisable), tm)
	e := newEar()
	e.listen(t, h, "c")
	pid := h.Stats().PID
	for i := range 100 {
		exec(t, postgres, "NOTIFY c, '%d'", i)
		e.expect(t, "notes")
	}
	if err := syscall.Kill(int(pid), syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	defer syscall.Kill(int(pid), syscall.SIGCONT)
	if s := e.expect(t, "lost"); !strings.Contains(s.err.Error(), "no sign of life") {
		t.Errorf("lost: %v", s.err)
	}
	e.expect(t, "subscribed")
	e.expect(t, "restored")
	if h.Stats().PID == pid {
		t.Error("it is the same server")
	}
}

// Whatever timeouts and encodings the server has for its sessions, the hub's
// doesn't end by them.
func TestTheServersTimeoutsDontApply(t *testing.T) {
	server := pgtest.Start(t, pgserver.Options{Settings: map[string]string{"idle_session_timeout": "200ms"}})
	h := startHub(t, dialerTo(server, upstream.TLSDisable), brisk())
	e := newEar()
	e.listen(t, h, "c")
	for i := range 3 {
		exec(t, server, "SELECT pg_sleep(0.2); SELECT pg_notify('c', '%d')", i)
		if got := e.expect(t, "notes"); payloads(got.notes) != fmt.Sprint(i) {
			t.Errorf("got %s", payloads(got.notes))
		}
	}
	if s := h.Stats(); s.Gaps != 0 {
		t.Errorf("stats: %+v", s)
	}
}

func TestListenersComeAndGo(t *testing.T) {
	h := startHub(t, dialerTo(postgres, upstream.TLSDisable), brisk())
	const ears, channels, rounds = 20, 10, 300
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	stop := make(chan struct{})
	var noise, wait sync.WaitGroup
	noise.Go(func() {
		conn := connect(t, nil)
		defer conn.Close(t.Context())
		for n := 0; ; n++ {
			select {
			case <-stop:
				return
			default:
				_, _ = conn.Exec(t.Context(), fmt.Sprintf("NOTIFY c%d, 'noise %d'", n%channels, n)).ReadAll()
			}
		}
	})
	all := make([]*ear, ears)
	for i := range all {
		e := newEar()
		all[i] = e
		wait.Go(func() {
			r := rand.New(rand.NewPCG(seed, uint64(i)))
			for range rounds {
				switch c := fmt.Sprint("c", r.IntN(channels)); r.IntN(12) {
				case 0:
					h.UnlistenAll(e)
				case 1, 2, 3, 4, 5:
					h.Unlisten(e, c)
				default:
					h.Listen(e, c)
				}
			}
			tickets := map[uint64]bool{}
			for c := range channels {
				tickets[h.Listen(e, fmt.Sprint("c", c))] = true
			}
			for len(tickets) > 0 {
				if s := e.next(t); s.what == "subscribed" {
					delete(tickets, s.ticket)
				}
			}
		})
	}
	wait.Wait()
	close(stop)
	noise.Wait()
	for c := range channels {
		exec(t, postgres, "NOTIFY c%d, 'final'", c)
	}
	for i, e := range all {
		for finals := 0; finals < channels; {
			s := e.next(t)
			if s.what != "notes" {
				t.Fatalf("told %q (%s)", s.what, s.channel)
			}
			for _, n := range s.notes {
				if bytes.Equal(n.Payload(), []byte("final")) {
					if want := fmt.Sprint("c", finals); n.Channel != want {
						t.Fatalf("ear %d: final on %s, want %s", i, n.Channel, want)
					}
					finals++
				}
			}
		}
	}
	if s := h.Stats(); s.Listeners != ears || s.Channels != channels {
		t.Errorf("stats: %+v", s)
	}
	for _, e := range all {
		h.UnlistenAll(e)
	}
	eventually(t, "everything is forgotten", func() bool { s := h.Stats(); hubBackends(t, postgres); return s.Listeners+s.Channels == 0 })
}

func TestListeningOverTLS(t *testing.T) {
	server := pgtest.Start(t, pgserver.Options{TLS: true})
	h := startHub(t, dialerTo(server, upstream.TLSRequire), brisk())
	e := newEar()
	const channels, notes = 600, 3000
	for i := range channels {
		h.Listen(e, fmt.Sprint("c", i))
	}
	for range channels {
		e.expect(t, "subscribed")
	}
	exec(t, server, "SELECT pg_notify('c'||(i%%%d), i||repeat('.', i)) FROM generate_series(1, %d) i", channels, notes)
	for i := 1; i <= notes; {
		for _, n := range e.expect(t, "notes").notes {
			if want := fmt.Sprint(i) + strings.Repeat(".", i); string(n.Payload()) != want || n.Channel != fmt.Sprint("c", i%channels) {
				t.Fatalf("note %d is of %d bytes on %s", i, len(n.Payload()), n.Channel)
			}
			i++
		}
	}
	exec(t, server, "SELECT pg_terminate_backend(%d)", h.Stats().PID)
	awaitRestored(t, e, channels)
}
