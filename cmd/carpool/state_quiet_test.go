//go:build quiet

package main

import (
	"fmt"
	"regexp"
	"strconv"
	"testing"
	"time"
)

// Clients that leave nothing in their sessions pay next to nothing for carpool's looking: at most 3 % of its processor time.
// It fails when the rounds show that it is more; what else the machine does spreads them, so they're many.
func TestQuietSessionStateCosts(t *testing.T) {
	failsWhenShownAgain(t, func(t *testing.T) string {
		p := start(t, nil, "compare", "--scenarios", "state", "--protocols", "simple", "--clients", "32", "--rounds", "20", "--time", "2s")
		if status := p.waitFor(3 * time.Minute); status != 0 {
			t.Fatalf("status %d: %s", status, p.stderr)
		}
		found := regexp.MustCompile(`costs (\S+) % of the processor time, with a confidence of 95 % between (\S+) and (\S+) %`).FindStringSubmatch(p.stdout.String())
		if found == nil {
			t.Fatalf("no figure in %s", p.stdout)
		}
		t.Logf("looking at session state %s", found[0])
		if least, err := strconv.ParseFloat(found[2], 64); err != nil || least > 3 {
			return fmt.Sprintf("looking at session state %s: %v", found[0], err)
		}
		return ""
	})
}
