package faults

import (
	"context"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"carpool/bench/pgserver"
	"carpool/bench/pgserver/pgtest"
)

// What an operator does under load: nobody is told.

// PAUSE, the server is restarted, RESUME.
func TestPausedRestart(t *testing.T) {
	s := pgtest.Start(t, serverOptions(50))
	p := startCarpool(t, s.Address(), "default_pool_size = 5\nadmin_users = boss")
	l := startLoad(t, s, p.url(), 12)
	var pauses, longest time.Duration
	rounds := either(1, 5)
	for range rounds {
		l.more(100)
		began := time.Now()
		p.order(t, "PAUSE")
		pauses = max(pauses, time.Since(began))
		if err := s.Restart(t.Context(), pgserver.Fast); err != nil {
			t.Fatal(err)
		}
		began = time.Now()
		p.order(t, "RESUME")
		l.more(1)
		longest = max(longest, time.Since(began))
	}
	l.more(100)
	l.end(s)
	failed, how := l.failed()
	if failed > 0 || len(l.refuse) > 0 {
		t.Errorf("%d transactions failed: %s, and logins: %v", failed, how, l.refuse)
	}
	figure(t, "PAUSE, restart of the server, RESUME", "%d times: PAUSE takes at most %s, first success at most %s after RESUME; 0 errors in %d transactions",
		rounds, pauses.Round(time.Millisecond), longest.Round(time.Millisecond), l.acked.Load())
	p.booksAgree(s)
}

// carpool is told to end, and ends when the transactions under way have.
func TestDrained(t *testing.T) {
	rounds := either(1, 10)
	var longest time.Duration
	failed, acked := 0, int64(0)
	for range rounds {
		p := startCarpool(t, postgres.Address(), "default_pool_size = 5")
		l := startLoad(t, postgres, p.url(), 12)
		l.more(50)
		began := time.Now()
		if err := p.Signal(syscall.SIGINT); err != nil {
			t.Fatal(err)
		}
		<-p.Done()
		longest = max(longest, time.Since(began))
		if err := p.Exit(); err != nil {
			t.Errorf("carpool's end: %v", err)
		}
		l.end(postgres)
		l.onlyFailed("57P01", "none")
		if n := l.within.Load(); n > 0 {
			_, how := l.failed()
			t.Errorf("%d transactions were cut off in the middle: %s", n, how)
		}
		n, _ := l.failed()
		failed, acked = failed+n, acked+l.acked.Load()
	}
	figure(t, "carpool told to end (SIGINT), under load", "%d times: it has ended within %s, with status 0; of %d transactions none was cut off, %d clients were told to go before theirs had begun",
		rounds, longest.Round(time.Millisecond), acked, failed)
}

// Another carpool takes over on the same port, and the first one is told to go.
func TestReplaced(t *testing.T) {
	first := startCarpool(t, postgres.Address(), "default_pool_size = 5\nso_reuseport = 1\nshutdown_timeout = 4")
	l := startLoad(t, postgres, first.url(), 12)
	rounds := either(1, 5)
	var longest time.Duration
	for range rounds {
		l.more(100)
		next := first.successor()
		began := time.Now()
		if err := first.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		<-first.Done()
		longest = max(longest, time.Since(began))
		if err := first.Exit(); err != nil {
			t.Errorf("the end of the old one: %v", err)
		}
		first = next
	}
	l.more(100)
	l.end(postgres)
	l.onlyFailed("57P01", "none")
	if n := l.within.Load(); n > 0 || len(l.refuse) > 0 {
		_, how := l.failed()
		t.Errorf("%d transactions were cut off in the middle: %s; logins refused: %v", n, how, l.refuse)
	}
	told, _ := l.failed()
	figure(t, "carpool replaced by another one (SO_REUSEPORT), under load", "%d times: 0 of %d logins refused, 0 of %d transactions cut off, %d clients told to go before theirs had begun; the old one has ended within %s",
		rounds, l.logins.Load(), l.acked.Load(), told, longest.Round(10*time.Millisecond))
	first.booksAgree(postgres)
}

// successor is another carpool with the same configuration.
func (p *pooler) successor() *pooler {
	p.t.Helper()
	next := &pooler{t: p.t, file: p.file, command: p.command}
	next.start()
	p.t.Cleanup(func() { next.End(patience, syscall.SIGQUIT) })
	return next
}

func TestReloads(t *testing.T) {
	p := startCarpool(t, postgres.Address(), "default_pool_size = 5")
	l := startLoad(t, postgres, p.url(), 12)
	l.more(50)
	logins := l.logins.Load()
	p.configure(func(text string) string { return text + "default_pool_size = many\n" })
	reload(t, p, `carpool\.ini:\d+.*default_pool_size`)
	place := regexp.MustCompile(`carpool\.ini:\d+`).FindString(p.log.String())
	l.more(50)
	databases := either(1000, 10_000)
	p.configure(func(text string) string {
		text = strings.Replace(text, "default_pool_size = many\n", "", 1)
		var many strings.Builder
		for i := range databases {
			fmt.Fprintf(&many, "tenant%d = host=127.0.0.1 dbname=tenant%d user=%s pool_size=3\n", i, i, role)
		}
		return strings.Replace(text, "[databases]\n", "[databases]\n"+many.String(), 1)
	})
	var longest time.Duration
	rounds := either(2, 10)
	for range rounds {
		began := time.Now()
		reload(t, p, "msg=reloaded")
		longest = max(longest, time.Since(began))
		l.more(20)
	}
	dropped := l.logins.Load() - logins
	l.end(postgres)
	failed, how := l.failed()
	if failed > 0 || dropped > 0 || len(l.refuse) > 0 {
		t.Errorf("%d transactions failed: %s; %d connections were dropped; logins refused: %v", failed, how, dropped, l.refuse)
	}
	figure(t, "reload of a broken configuration, and of a large one", "the broken one is told of by its line (%s) and changes nothing; %d reloads with %d databases take at most %s; %d connections dropped, 0 errors in %d transactions",
		place, rounds, databases, longest.Round(time.Millisecond), dropped, l.acked.Load())
	p.booksAgree(postgres)
}

// carpool stands still for longer than its limits, as with a laptop that is closed or a machine that is moved.
func TestSuspended(t *testing.T) {
	length := time.Duration(either(2, 30)) * time.Second
	p := startCarpool(t, postgres.Address(), "default_pool_size = 4\nidle_transaction_timeout = 1\nserver_connect_timeout = 1\nclient_login_timeout = 1")
	l := startLoad(t, postgres, p.url(), 8)
	l.more(50)
	logins := l.logins.Load()
	if err := p.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	<-time.After(length) // the fault's length
	if err := p.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	awake := time.Now()
	l.more(1)
	back := time.Since(awake)
	l.more(50)
	dropped := l.logins.Load() - logins
	l.end(postgres)
	failed, how := l.failed()
	if failed > 0 || dropped > 0 {
		t.Errorf("%d transactions failed: %s; %d connections were dropped", failed, how, dropped)
	}
	figure(t, "carpool suspended (SIGSTOP)", "for %s, with limits of 1s: %d connections dropped, %d errors; first success %s after it goes on", length, dropped, failed, back.Round(time.Millisecond))
	p.booksAgree(postgres)
}

// Whatever carpool writes to its log is refused, as by a disk that is full, or its reader is gone.
func TestLogRefused(t *testing.T) {
	const settings = "default_pool_size = 4\nlog_connections = 1\nlog_disconnections = 1"
	rate := func(p *pooler) float64 {
		l := startLoad(t, postgres, p.url(), 8)
		l.more(50)
		began, acked := time.Now(), l.acked.Load()
		for range either(5, 50) {
			_ = connect(t, p.url()).Close(context.Background()) // which is logged
			l.more(20)
		}
		tps := float64(l.acked.Load()-acked) / time.Since(began).Seconds()
		l.end(postgres)
		if failed, how := l.failed(); failed > 0 {
			t.Errorf("%d transactions failed: %s", failed, how)
		}
		p.booksAgree(postgres)
		p.End(patience, syscall.SIGQUIT)
		return tps
	}
	fine := rate(startCarpool(t, postgres.Address(), settings))
	full := rate(startUnheard(t, postgres.Address(), settings, "sh", "-c", `exec "$0" "$@" 2>/dev/full`))
	pipe := filepath.Join(t.TempDir(), "log")
	unread := rate(startUnheard(t, postgres.Address(), settings, "sh", "-c", fmt.Sprintf(`mkfifo %[1]s; head -c 1 <%[1]s >/dev/null & exec "$0" "$@" 2>%[1]s`, pipe)))
	figure(t, "log can't be written (disk full)", "%.0f transactions/s, with a pipe that nobody reads any more %.0f, with a log that can be written %.0f; 0 errors", full, unread, fine)
}
