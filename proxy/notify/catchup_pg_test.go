package notify

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"carpool/proxy/upstream"
)

// What a client knows to be committed comes before CaughtUp, however it was
// notified, and while others do the same.
func TestCatchingUp(t *testing.T) {
	h := startHub(t, dialerTo(postgres, upstream.TLSDisable), brisk())
	var wait sync.WaitGroup
	for i := range 4 {
		e := newEar()
		channel := fmt.Sprint("channel", i)
		e.listen(t, h, channel)
		conn := connect(t, nil)
		wait.Go(func() {
			defer conn.Close(t.Context()) //nolint:errcheck // the test is over
			for n := range 250 {
				sql := [...]string{"NOTIFY %s, '%d'", "BEGIN; NOTIFY %s, '%d'; COMMIT", "SELECT pg_notify('%s', '%d')"}[n%3]
				if n%3 == 2 {
					r := conn.ExecParams(t.Context(), fmt.Sprintf(sql, channel, n), nil, nil, nil, nil).Read()
					if r.Err != nil {
						t.Error(r.Err)
						return
					}
				} else if _, err := conn.Exec(t.Context(), fmt.Sprintf(sql, channel, n)).ReadAll(); err != nil {
					t.Error(err)
					return
				}
				ticket, got := h.CatchUp(e), ""
				for got == "" || !strings.HasSuffix(got, "!") {
					switch s := e.next(t); {
					case s.what == "notes":
						got += payloads(s.notes)
					case s.what == "caught up" && s.ticket == ticket:
						got += "!"
					default:
						t.Errorf("told %+v", s)
						return
					}
				}
				if want := fmt.Sprint(n, "!"); got != want {
					t.Errorf("told %s, want %s", got, want)
					return
				}
			}
		})
	}
	wait.Wait()
}

// It comes without a connection, with the loss of one, and not to who has left.
func TestCatchingUpWithoutAConnection(t *testing.T) {
	h := startHub(t, dialerTo(postgres, upstream.TLSDisable), brisk())
	e, gone := newEar(), newEar()
	ticket := h.CatchUp(e)
	if s := e.expect(t, "caught up"); s.ticket != ticket {
		t.Errorf("ticket %d, want %d", s.ticket, ticket)
	}
	e.listen(t, h, "c")
	gone.listen(t, h, "c")
	for range 5 {
		exec(t, postgres, "SELECT pg_terminate_backend(%d)", h.Stats().PID)
		h.CatchUp(gone)
		h.UnlistenAll(gone)
		ticket := h.CatchUp(e)
		caught, restored := false, false
		for !caught || !restored {
			switch s := e.next(t); s.what {
			case "caught up":
				caught = s.ticket == ticket
			case "restored":
				restored = true
			}
		}
		eventually(t, "it is connected", func() bool { return h.Stats().Connected })
		gone.take()
		gone.listen(t, h, "c")
	}
}
