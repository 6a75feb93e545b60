package workload

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
)

func TestEveryWorkloadRuns(t *testing.T) {
	for _, w := range All() {
		t.Run(w.Name, func(t *testing.T) {
			s := connect(t)
			place := setUp(t, w, s, "runs")
			setUp(t, w, s, "runs") // it may be there from before
			callers := []Caller{w.NewCaller(place, 0, 1), w.NewCaller(place, 1, 1)}
			for call := range 200 {
				if err := callers[call%2].Call(t.Context(), s); err != nil {
					t.Fatalf("call %d: %v", call+1, err)
				}
				if status := s.conn.TxStatus(); status != outside {
					t.Fatalf("call %d left the transaction at %c", call+1, status)
				}
			}
		})
	}
}

// questions are what a caller sends for some calls.
func questions(t *testing.T, w Workload, s *session, place Place, client int, seed uint64) []string {
	var asked []string
	recorder := &doctored{Session: s}
	recorder.do = func(ctx context.Context, st Statement, args []string) (Reply, error) {
		asked = append(asked, st.SQL+" <- "+strings.Join(args, ", "))
		return s.Do(ctx, st, args...)
	}
	recorder.copyOut = func(ctx context.Context, sql string, to io.Writer) (Reply, error) {
		asked = append(asked, sql)
		return s.CopyOut(ctx, sql, to)
	}
	caller := w.NewCaller(place, client, seed)
	for range 10 {
		if err := caller.Call(t.Context(), recorder); err != nil {
			t.Fatal(err)
		}
	}
	return asked
}

func TestEqualSeedsGiveEqualCalls(t *testing.T) {
	script, err := Script("seeded", `\set a random(1, 1000000)
\set b random_zipfian(1, 1000000, 1.1)
SELECT :a, :b;`)
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range append(All(), script) {
		if w.Name == "select1" {
			continue // asks nothing but the one thing
		}
		t.Run(w.Name, func(t *testing.T) {
			s := connect(t)
			place := setUp(t, w, s, "seeded")
			first := questions(t, w, s, place, 3, 7)
			if !slices.Equal(first, questions(t, w, s, place, 3, 7)) {
				t.Error("equal arguments give other calls")
			}
			if slices.Equal(first, questions(t, w, s, place, 4, 7)) {
				t.Error("another client makes the same calls")
			}
			if slices.Equal(first, questions(t, w, s, place, 3, 8)) {
				t.Error("another seed gives the same calls")
			}
		})
	}
}

// TestPreviousAnswersAreNoticed answers a question with what the one before got: any question, or any of the same statement.
func TestPreviousAnswersAreNoticed(t *testing.T) {
	for _, w := range All() {
		if w.Name == "select1" {
			continue // all answers are equal: see TestWrongOnes
		}
		for _, mode := range []struct {
			name string
			key  func(Statement) string
		}{
			{"of any statement", func(Statement) string { return "" }},
			{"of the same statement", func(st Statement) string { return st.SQL }},
		} {
			t.Run(w.Name+" "+mode.name, func(t *testing.T) {
				s := connect(t)
				place := setUp(t, w, s, "lagging")
				caller := w.NewCaller(place, 0, 1)
				lagging := lag(s, mode.key)
				wrong := 0
				for range 60 {
					err := caller.Call(t.Context(), lagging)
					if answer := (*WrongAnswer)(nil); errors.As(err, &answer) {
						wrong++
						if wrong == 1 {
							t.Log(err)
						}
					}
					s.run(t, "ROLLBACK")
				}
				if least := 24; wrong < least { // books has a third of equal questions, read-heavy mixes statements
					t.Errorf("%d of 60 calls noticed that the answer was another question's, at least %d should", wrong, least)
				}
			})
		}
	}
}

// lag makes a Session that answers with the reply before.
func lag(s *session, key func(Statement) string) Session {
	replies := make(map[string]Reply)
	var copied []byte
	d := &doctored{Session: s}
	d.do = func(ctx context.Context, st Statement, args []string) (Reply, error) {
		reply, err := s.Do(ctx, st, args...)
		if err != nil {
			return reply, err
		}
		late, found := replies[key(st)]
		replies[key(st)] = reply
		if !found {
			return reply, nil
		}
		late.Status = reply.Status // so that only the answer is wrong
		late.Warnings = nil
		return late, nil
	}
	d.copyOut = func(ctx context.Context, sql string, w io.Writer) (Reply, error) {
		var now bytes.Buffer
		reply, err := s.CopyOut(ctx, sql, &now)
		late := copied
		copied = now.Bytes()
		if late == nil {
			late = copied
		}
		for part := range slices.Chunk(late, 777) {
			if _, err := w.Write(part); err != nil {
				return reply, err
			}
		}
		return reply, err
	}
	return d
}

func TestWrongOnes(t *testing.T) {
	one, two := [][]byte{[]byte("1")}, [][]byte{[]byte("2")}
	for name, reply := range map[string]Reply{
		"another number": {Tag: "SELECT 1", Rows: [][][]byte{two}, Status: outside},
		"no row":         {Tag: "SELECT 0", Status: outside},
		"two rows":       {Tag: "SELECT 2", Rows: [][][]byte{one, one}, Status: outside},
		"NULL":           {Tag: "SELECT 1", Rows: [][][]byte{{nil}}, Status: outside},
		"no column":      {Tag: "SELECT 1", Rows: [][][]byte{{}}, Status: outside},
		"another tag":    {Tag: "COMMIT", Rows: [][][]byte{one}, Status: outside},
		"only a tag":     {Tag: "COMMIT", Status: outside},
		"nothing":        {Status: outside},
	} {
		d := &doctored{do: func(context.Context, Statement, []string) (Reply, error) { return reply, nil }}
		err := select1().NewCaller(Place{}, 0, 0).Call(t.Context(), d)
		if wrong := (*WrongAnswer)(nil); !errors.As(err, &wrong) {
			t.Errorf("%s: got %v, want a WrongAnswer", name, err)
		}
	}
	d := &doctored{do: func(context.Context, Statement, []string) (Reply, error) {
		return Reply{Tag: "SELECT 1", Rows: [][][]byte{one}, Status: inside}, nil
	}}
	err := select1().NewCaller(Place{}, 0, 0).Call(t.Context(), d)
	if mixed := (*MixedTransaction)(nil); !errors.As(err, &mixed) {
		t.Errorf("inside of a transaction: got %v, want a MixedTransaction", err)
	}
}

func TestDescriptionsAreLegible(t *testing.T) {
	got := describe("book", Reply{Tag: "SELECT 1", Rows: [][][]byte{{
		[]byte("97\x1b[31m8\xff"), nil, []byte(strings.Repeat("ü", 100)), []byte("unseen"),
	}}})
	if want := "book 97?[31m8? (NULL, " + strings.Repeat("ü", 20) + "...)"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestCopiesLeaveNothing(t *testing.T) {
	s := connect(t)
	w := copying()
	place := setUp(t, w, s, "copies")
	caller := w.NewCaller(place, 0, 1)
	const calls = 50
	for range calls {
		if err := caller.Call(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	got := s.run(t, "SELECT pg_total_relation_size('copies.incoming') < 300000, count(*) FROM copies.incoming").Rows[0]
	if string(got[0]) != "t" || string(got[1]) != "0" {
		t.Errorf("after %d calls: less than 300 kB: %s, rows: %s", calls, got[0], got[1])
	}
}

func TestAlteredCopiesAreNoticed(t *testing.T) {
	var whole bytes.Buffer
	s := connect(t)
	w := copying()
	setUp(t, w, s, "altered")
	if _, err := s.CopyOut(t.Context(), "COPY (SELECT id, part, body FROM altered.documents WHERE id = 1 ORDER BY part) TO STDOUT", &whole); err != nil {
		t.Fatal(err)
	}
	for name, alter := range map[string]func([]byte) []byte{
		"as it is":       func(b []byte) []byte { return b },
		"a byte less":    func(b []byte) []byte { return b[:len(b)-1] },
		"a byte more":    func(b []byte) []byte { return append(b, 'x') },
		"a byte changed": func(b []byte) []byte { b[len(b)/2]++; return b },
		"a row less":     func(b []byte) []byte { return b[bytes.IndexByte(b, '\n')+1:] },
		"nothing":        func([]byte) []byte { return nil },
	} {
		checker := documentChecker{id: "1"}
		for part := range slices.Chunk(alter(bytes.Clone(whole.Bytes())), 4321) {
			if n, err := checker.Write(part); n != len(part) || err != nil {
				t.Fatalf("%s: Write: %d, %v", name, n, err)
			}
		}
		right := checker.wrong == "" && checker.parts == partCount && checker.pending == 0
		if right != (name == "as it is") {
			t.Errorf("%s: right: %v, wrong %q, %d parts", name, right, checker.wrong, checker.parts)
		}
	}
}
