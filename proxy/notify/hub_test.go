package notify

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"carpool/proxy/wire"
)

func TestDialingBacksOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var at []time.Duration
		h := New(func(context.Context) (*Conn, error) {
			at = append(at, time.Since(start))
			return nil, errors.New("nobody there")
		}, slog.New(slog.DiscardHandler))
		e := newEar()
		h.Listen(e, "c")
		time.Sleep(22 * time.Second) // of the bubble's time
		h.UnlistenAll(e)
		time.Sleep(time.Hour)
		h.Close()
		var waits []time.Duration
		for i := 1; i < len(at); i++ {
			waits = append(waits, at[i]-at[i-1])
		}
		const ms = time.Millisecond
		want := []time.Duration{100 * ms, 200 * ms, 400 * ms, 800 * ms, 1600 * ms, 3200 * ms, 5000 * ms, 5000 * ms, 5000 * ms}
		if !slices.Equal(waits, want) {
			t.Errorf("it waits %v, want %v", waits, want)
		}
		if got := e.take(); len(got) > 0 {
			t.Errorf("the listener is told %v", got)
		}
	})
}

// A dial that is under way ends with Close.
func TestCloseWhileDialing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := New(func(ctx context.Context) (*Conn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}, slog.New(slog.DiscardHandler))
		e := newEar()
		h.Listen(e, "c")
		synctest.Wait()
		h.Close()
		h.Close()
		h.Listen(e, "d") // does nothing
		h.Unlisten(e, "d")
	})
}

// still is a hub without its goroutine, as if connected, with one listener on
// the channel c and a LISTEN on d under way.
func still() (*Hub, *ear) {
	h := &Hub{marker: testMarker, log: slog.New(slog.DiscardHandler), times: brisk(), wake: make(chan struct{}, 1)}
	h.registry.init()
	e := newEar()
	h.Listen(e, "c")
	h.obey()
	c := h.registry.next()
	c.standing = starting
	h.registry.began(c)
	h.Listen(e, "d")
	h.obey()
	d := h.registry.next()
	d.standing = starting
	h.link.underWay = []statement{{forListen, d}}
	e.take()
	return h, e
}

// Whoever sends a token has told the hub before, even if it arrives at once.
func TestTokenIsKnownWhenItArrives(t *testing.T) {
	h, e := still()
	token := h.Token(e)
	h.receive(slices.Concat(message(1, "c", "before"), message(1, testMarker, "another"), message(1, testMarker, token), message(1, "c", "after")))
	got := e.take()
	if len(got) != 1 || payloads(got[0].notes) != "before "+token+" after" {
		t.Errorf("told %v", got)
	}
	h.receive(message(1, testMarker, token))
	if got := e.take(); len(got) > 0 {
		t.Errorf("the token comes again: %v", got)
	}
}

func TestNotesStandBeforeAndBehindAnAnswer(t *testing.T) {
	h, e := still()
	h.receive(slices.Concat(
		message(1, "c", "1"), message(1, "d", "early"), wire.AppendReadyForQuery(nil, wire.TxIdle), message(1, "d", "2")))
	var all []string
	for _, s := range e.take() {
		all = append(all, s.what+s.channel+payloads(s.notes))
	}
	if got := strings.Join(all, " "); got != "notes1 subscribedd notes2" {
		t.Errorf("told %s", got)
	}
}

func TestHostileServer(t *testing.T) {
	ready := wire.AppendReadyForQuery(nil, wire.TxIdle)
	for name, bytes := range map[string][]byte{
		"an answer to nothing":      slices.Concat(ready, ready),
		"in a transaction":          wire.AppendReadyForQuery(nil, wire.TxOpen),
		"malformed ready":           wire.AppendEmpty(nil, wire.ReadyForQuery),
		"malformed notification":    append(wire.AppendHeader(nil, wire.NotificationResponse, 6), "123456"...),
		"no notification":           wire.AppendEmpty(nil, wire.NotificationResponse),
		"what nobody sends here":    wire.AppendEmpty(nil, wire.CopyInResponse),
		"authentication once again": wire.AppendAuthentication(nil, wire.AuthOK, nil),
	} {
		t.Run(name, func(t *testing.T) {
			h, e := still()
			h.receive(slices.Concat(message(1, "c", "1"), bytes, message(1, "c", "2")))
			var all []string
			for _, s := range e.take() {
				all = append(all, s.what)
				if strings.Contains(payloads(s.notes), "2") {
					t.Error("it goes on")
				}
			}
			if !slices.Contains(all, "notes") || all[len(all)-1] != "lost" {
				t.Errorf("told %v", all)
			}
		})
	}
	for name, b := range map[string][]byte{
		"too long": wire.AppendHeader(nil, wire.NotificationResponse, maxBody+1), "length 3": {'A', 0, 0, 0, 3},
	} {
		if _, err := wholeMessages(b); err == nil {
			t.Errorf("%s is fine", name)
		}
	}
}

// A refusal of LISTEN concerns those who wanted the channel, and no one else.
func TestRefusal(t *testing.T) {
	h, e := still()
	refusal := wire.AppendError(nil, wire.Report{Severity: "ERROR", Code: "22021", Message: "no such bytes"})
	h.receive(slices.Concat(refusal, wire.AppendReadyForQuery(nil, wire.TxIdle), message(1, "d", "x"), message(1, "c", "y")))
	got := e.take()
	if len(got) != 2 || got[0].what != "refused" || !strings.Contains(got[0].err.Error(), "22021") || payloads(got[1].notes) != "y" {
		t.Errorf("told %v", got)
	}
	if len(h.registry.channels) != 1 || h.registry.wanted != 1 {
		t.Errorf("%d channels are known, %d wanted", len(h.registry.channels), h.registry.wanted)
	}
}

func FuzzReceive(f *testing.F) {
	f.Add(message(1, "c", "payload"))
	f.Add(slices.Concat(message(1, "d", "payload"), wire.AppendReadyForQuery(nil, wire.TxIdle), message(1, "d", "")))
	f.Add(append(message(1, "c", "x"), 'A', 0, 0, 0, 9, 1, 2, 3, 4, 5))
	f.Add(wire.AppendError(nil, wire.Report{Severity: "FATAL", Code: "57P01", Message: "terminating"}))
	f.Fuzz(func(t *testing.T, b []byte) {
		whole, err := wholeMessages(b)
		if err != nil {
			return
		}
		h, e := still()
		h.receive(b[:whole])
		for _, s := range e.take() {
			for _, n := range s.notes {
				if n.Channel != "c" && n.Channel != "d" {
					t.Errorf("a note on %q", n.Channel)
				}
				_, _ = n.PID(), n.Payload()
			}
		}
	})
}

func TestUnconverted(t *testing.T) {
	for _, tt := range []struct {
		server, client string
		want           bool
	}{
		{"UTF8", "UTF8", true},
		{"UTF8", "utf8", true},
		{"UTF8", "LATIN1", false},
		{"UTF8", "SQL_ASCII", true},
		{"SQL_ASCII", "UTF8", true},
		{"LATIN1", "UTF8", false},
		{"UTF8", "", false},
		{"", "", false},
	} {
		if got := Unconverted(tt.server, tt.client); got != tt.want {
			t.Errorf("%q to %q: %v", tt.server, tt.client, got)
		}
	}
}
