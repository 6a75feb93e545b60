//go:build quiet

package main

import (
	"fmt"
	"testing"
)

// failsWhenShownAgain fails when a measurement, which returns what it found wrong, finds it three times in a row. What else a
// machine does for a minute shifts a whole measurement at times, and passes; what the program does wrong stays.
func failsWhenShownAgain(t *testing.T, measure func(t *testing.T) string) {
	t.Helper()
	const times = 3
	var wrong string
	for i := range times {
		// Each is a test of its own, so that what its benchmarks printed is shown only if they failed.
		t.Run(fmt.Sprintf("measurement %d", i+1), func(t *testing.T) { wrong = measure(t) })
		if t.Failed() || wrong == "" {
			return
		}
		t.Log(wrong)
	}
	t.Errorf("found %d times, the last time: %s", times, wrong)
}
