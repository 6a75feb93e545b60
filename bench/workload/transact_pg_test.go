package workload

import (
	"context"
	"errors"
	"strings"
	"testing"
)

// interference is what another client does to the connection before or after a statement that begins with something.
type interference struct {
	name, at      string
	before, after string
	want          string // of the MixedTransaction, "" for another error
}

func TestMixedTransactionsAreNoticed(t *testing.T) {
	transactions := []Workload{transaction(), tpcb(), copying()}
	for _, w := range transactions {
		s := connect(t)
		place := setUp(t, w, s, "mixed")
		last := "COMMIT"
		if w.Name == "copy" {
			last = "ROLLBACK"
		}
		for _, row := range []interference{
			{"somebody began", "BEGIN", "BEGIN", "", "that one was in progress already"},
			{"somebody committed", "BEGIN", "", "COMMIT", "that somebody else had ended it"},
			{"somebody broke it", "BEGIN", "", "SELECT 1/0", ""},
			{"somebody committed before the end", last, "COMMIT", "", "that none was in progress"},
			{"somebody began after the end", last, "", "BEGIN", "that one was in progress still"},
		} {
			t.Run(w.Name+" "+row.name, func(t *testing.T) {
				caller := w.NewCaller(place, 0, 1)
				err := caller.Call(t.Context(), interfered(t, s, row))
				mixed := (*MixedTransaction)(nil)
				if row.want != "" && (!errors.As(err, &mixed) || mixed.Found != row.want) || err == nil {
					t.Errorf("got %v, want a MixedTransaction that found %q", err, row.want)
				}
				if status := s.conn.TxStatus(); status != outside {
					t.Errorf("the transaction is left at %c", status)
				}
				if err := caller.Call(t.Context(), s); err != nil {
					t.Errorf("the next call: %v", err)
				}
			})
		}
	}
}

// interfered does the interference once.
func interfered(t *testing.T, s *session, how interference) Session {
	d := &doctored{Session: s}
	done := false
	d.do = func(ctx context.Context, st Statement, args []string) (Reply, error) {
		if done || !strings.HasPrefix(st.SQL, how.at) {
			return s.Do(ctx, st, args...)
		}
		done = true
		if how.before != "" {
			s.run(t, how.before)
		}
		reply, err := s.Do(ctx, st, args...)
		if how.after != "" {
			_, _ = s.Do(ctx, Statement{SQL: how.after})
			reply.Status = s.conn.TxStatus()
		}
		return reply, err
	}
	return d
}

// TestWriteInAnotherTransaction puts the write and the read into two transactions, which no status and no warning tells.
func TestWriteInAnotherTransaction(t *testing.T) {
	w := transaction()
	s := connect(t)
	place := setUp(t, w, s, "apart")
	err := w.NewCaller(place, 0, 1).Call(t.Context(), interfered(t, s, interference{at: "SELECT", before: "COMMIT; BEGIN"}))
	if mixed := (*MixedTransaction)(nil); !errors.As(err, &mixed) {
		t.Errorf("got %v, want a MixedTransaction", err)
	}
	if status := s.conn.TxStatus(); status != outside {
		t.Errorf("the transaction is left at %c", status)
	}
}

func TestRolledBackCommitIsNoticed(t *testing.T) {
	w := transaction()
	s := connect(t)
	place := setUp(t, w, s, "undone")
	d := &doctored{Session: s}
	d.do = func(ctx context.Context, st Statement, args []string) (Reply, error) {
		if st.SQL == commit.SQL {
			_, _ = s.Do(ctx, Statement{SQL: "SELECT 1/0"})
		}
		return s.Do(ctx, st, args...)
	}
	err := w.NewCaller(place, 0, 1).Call(t.Context(), d)
	if mixed := (*MixedTransaction)(nil); !errors.As(err, &mixed) || mixed.Found != "that it was rolled back" {
		t.Errorf("got %v, want a MixedTransaction that was rolled back", err)
	}
}

// TestFailedStatementsAreCleanedUp fails each statement of a call in turn.
func TestFailedStatementsAreCleanedUp(t *testing.T) {
	for _, w := range []Workload{transaction(), tpcb(), copying()} {
		s := connect(t)
		place := setUp(t, w, s, "failing")
		for failing, over := 0, false; !over; failing++ {
			statements := 0
			d := &doctored{Session: s}
			d.do = func(ctx context.Context, st Statement, args []string) (Reply, error) {
				if statements++; statements == failing+1 {
					return s.Do(ctx, Statement{SQL: "SELECT 1/0"})
				}
				return s.Do(ctx, st, args...)
			}
			err := w.NewCaller(place, 0, 1).Call(t.Context(), d)
			over = statements <= failing
			if (err == nil) != over {
				t.Errorf("%s: statement %d of %d failed: %v", w.Name, failing+1, statements, err)
			}
			if status := s.conn.TxStatus(); status != outside {
				t.Errorf("%s: after statement %d failed the transaction is left at %c", w.Name, failing+1, status)
			}
			if failing > 20 {
				t.Fatal("a call without an end")
			}
		}
	}
}
