package worker

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/jackc/pgx/v5/pgconn"

	"carpool/bench/workload"
)

// Keys of Result.Errors for failures that have no SQLSTATE.
const (
	connectionError = "connection"
	timeoutError    = "timeout"
	scriptError     = "script"
)

const (
	mostExamples     = 10 // of a process
	mostOfOneKind    = 4
	mostGroupSamples = 6 // of all processes together
)

// misplaced is a message that can't be part of the reply that its reader waits for. The text goes into a sentence: thread 3
// "sent SELECT and was told that COMMIT was done".
type misplaced struct{ found string }

func (e *misplaced) Error() string { return e.found }

// errNoReply is a reply that never came.
var errNoReply = errors.New("no answer came any more")

// kind is what went wrong with a call.
type kind int

const (
	wrongAnswer kind = iota
	mixedTransaction
	misplacedMessage
	kinds
)

// tally counts what went wrong. Its methods may be called from any goroutine.
type tally struct {
	failures atomic.Int64

	// guarded by mu
	mu       sync.Mutex
	errors   map[string]int64
	kinds    [kinds]int64
	examples [kinds][]string
	first    string
}

func newTally() *tally { return &tally{errors: make(map[string]int64)} }

// count is how many calls failed.
func (t *tally) count() int64 { return t.failures.Load() }

// fail counts a failed call of a client.
func (t *tally) fail(client int, err error) {
	t.failures.Add(1)
	t.mu.Lock()
	defer t.mu.Unlock()
	var wrong *workload.WrongAnswer
	var mixed *workload.MixedTransaction
	var odd *misplaced
	switch {
	case errors.As(err, &wrong):
		t.noteLocked(wrongAnswer, client, wrong)
	case errors.As(err, &mixed):
		t.noteLocked(mixedTransaction, client, mixed)
	case errors.As(err, &odd):
		t.noteLocked(misplacedMessage, client, odd)
	default:
		t.errors[errorKey(err)]++
		if t.first == "" {
			t.first = oneLine(err)
		}
	}
}

// errorKey is the SQLSTATE of an error, or what stands for one.
func errorKey(err error) string {
	var fromServer *pgconn.PgError
	var mistake *workload.ScriptError
	switch {
	case errors.As(err, &fromServer) && isSQLState(fromServer.Code):
		return fromServer.Code
	case errors.As(err, &mistake):
		return scriptError
	case errors.Is(err, errNoReply), errors.Is(err, os.ErrDeadlineExceeded), pgconn.Timeout(err):
		return timeoutError
	}
	return connectionError
}

func isSQLState(code string) bool {
	for _, b := range []byte(code) {
		if (b < '0' || b > '9') && (b < 'A' || b > 'Z') {
			return false
		}
	}
	return len(code) == 5
}

// noteLocked counts a kind and keeps it as an example if there are few.
func (t *tally) noteLocked(k kind, client int, err error) {
	t.kinds[k]++
	if len(t.examples[k]) >= mostOfOneKind {
		return
	}
	if sentence := fmt.Sprintf("thread %d %s", client+1, oneLine(err)); !slices.Contains(t.examples[k], sentence) {
		t.examples[k] = append(t.examples[k], sentence)
	}
}

// fill puts the counts into a result.
func (t *tally) fill(result *Result) {
	t.mu.Lock()
	defer t.mu.Unlock()
	result.Errors = maps.Clone(t.errors)
	result.WrongAnswers, result.MixedTransactions, result.ProtocolErrors = t.kinds[wrongAnswer], t.kinds[mixedTransaction], t.kinds[misplacedMessage]
	result.FirstError = t.first
	result.Examples = interleave(mostExamples, t.examples[:]...)
}

// interleave takes from each list in turn, without repeating one.
func interleave(most int, lists ...[]string) []string {
	taken := make([]string, 0)
	for i := 0; len(taken) < most; i++ {
		found := false
		for _, list := range lists {
			if i >= len(list) {
				continue
			}
			found = true
			if len(taken) < most && !slices.Contains(taken, list[i]) {
				taken = append(taken, list[i])
			}
		}
		if !found {
			break
		}
	}
	return taken
}
