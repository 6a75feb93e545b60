//go:build race

package pool

// simSteps is smaller under the race detector, which the ledger, having no
// goroutines, gains nothing from.
const simSteps = 60_000
