package drivers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
)

// errLeftOut is a program's that has ended well without a word about a step.
var errLeftOut = errors.New("the program has left it out")

// Every driver goes through the scenario with a Postgres of its own and through carpool, and comes to the same answers.
func TestDrivers(t *testing.T) {
	makeTemplate(t)
	address := startCarpool(t)
	m := &matrix{passed: make(map[string]map[string]bool)}
	t.Run("driver", func(t *testing.T) {
		for i, d := range drivers {
			t.Run(d.name, func(t *testing.T) {
				alone, shared := fmt.Sprintf("direct_%d", i), fmt.Sprintf("pooled_%d", i)
				makeDatabase(t, alone)
				makeDatabase(t, shared)
				t.Parallel()
				direct := travel(t.Context(), d, databaseURL(postgres.Address(), alone))
				crowd := gather(databaseURL(address, shared))
				through := travel(t.Context(), d, databaseURL(address, shared))
				crowd.disperse(t)
				for _, s := range steps {
					if d.has(s.name) {
						t.Run(s.name, func(t *testing.T) { m.note(d.name, s.name, compare(t, s, direct[s.name], through[s.name])) })
					}
				}
			})
		}
	})
	m.document(t)
}

// travel lets a driver go through its steps and returns what came of each.
func travel(ctx context.Context, d driver, url string) map[string]outcome {
	outcomes := make(map[string]outcome)
	for remaining := d.steps(); len(remaining) > 0; {
		err := d.run(ctx, url, remaining, func(o outcome) { outcomes[o.Step] = o })
		for len(remaining) > 0 && has(outcomes, remaining[0]) {
			remaining = remaining[1:]
		}
		if len(remaining) == 0 {
			break
		}
		if err == nil {
			err = errLeftOut
		}
		outcomes[remaining[0]] = outcome{Step: remaining[0], Error: err.Error()}
		remaining = remaining[1:]
		if ctx.Err() != nil {
			break
		}
	}
	return outcomes
}

func has(outcomes map[string]outcome, name string) bool {
	_, ok := outcomes[name]
	return ok
}

// compare holds both outcomes of a step against what the table says, and returns whether that of carpool is right.
func compare(t *testing.T, s step, direct, through outcome) bool {
	t.Helper()
	if wrong := differs(s.want, direct); wrong != "" {
		t.Errorf("directly: %s", wrong)
	}
	wrong := differs(s.want, through)
	if wrong == "" && through.Retries > direct.Retries {
		wrong = fmt.Sprintf("it took %d retries, and directly %d", through.Retries, direct.Retries)
	}
	if wrong != "" {
		t.Errorf("through carpool: %s", wrong)
	}
	return wrong == ""
}

// differs says in which way an outcome isn't what it should be; empty: it is.
func differs(want string, got outcome) string {
	if got.Error != "" {
		return strings.TrimSpace(got.Error)
	}
	var expected, result any
	if err := json.Unmarshal([]byte(want), &expected); err != nil {
		return fmt.Sprintf("the table has %s: %v", want, err)
	}
	if err := json.Unmarshal(got.Result, &result); err != nil {
		return fmt.Sprintf("got %s: %v", got.Result, err)
	}
	if !reflect.DeepEqual(expected, result) {
		return fmt.Sprintf("got %s, want %s", got.Result, want)
	}
	return ""
}

// matrix is which driver went well through which step.
type matrix struct {
	mu     sync.Mutex
	passed map[string]map[string]bool // by driver and step
}

func (m *matrix) note(driver, step string, passed bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.passed[driver] == nil {
		m.passed[driver] = make(map[string]bool)
	}
	m.passed[driver][step] = passed
}
