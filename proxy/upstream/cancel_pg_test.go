package upstream

import (
	"fmt"
	"testing"

	"carpool/proxy/wire"
)

// cancelsAQuery checks that a query is really over once Cancel has returned,
// and that the next one isn't hit.
func cancelsAQuery(t *testing.T, target *Target) {
	t.Helper()
	c, err := logInAs(t, target)
	if err != nil {
		t.Fatal(err)
	}
	watcher, err := logInAs(t, target)
	if err != nil {
		t.Fatal(err)
	}
	p, w := &peer{t: t, conn: c, piece: 1000}, &peer{t: t, conn: watcher, piece: 1000}
	p.send(wire.AppendQuery(nil, "select pg_sleep(60)"))
	running := fmt.Sprintf("select count(*) from pg_stat_activity where pid = %d and wait_event = 'PgSleep'", c.PID)
	for w.value(running) != "1" {
	}
	sent := 0
	if err := Cancel(t.Context(), c.CancelTarget(), func() { sent++ }); err != nil || sent != 1 {
		t.Fatal(err)
	}
	code := ""
	for typ, body := p.receive(); typ != wire.ReadyForQuery; typ, body = p.receive() {
		if typ == wire.ErrorResponse {
			code = wire.ParseReport(body).Code
		}
	}
	if code != "57014" {
		t.Errorf("the query ended with %q", code)
	}
	for range 3 {
		// Idle now: nothing to cancel, and nothing left over for what follows.
		if err := Cancel(t.Context(), c.CancelTarget(), nil); err != nil {
			t.Fatal(err)
		}
	}
	if got := p.value("select 1 from pg_sleep(0.05)"); got != "1" {
		t.Errorf("the next query answers %q", got)
	}
}
