//go:build !race

package pool

// simSteps is the number of random events TestSimulation runs.
const simSteps = 1_000_000
