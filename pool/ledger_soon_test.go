package pool

import "testing"

// A host that says it is about to be ready is asked again at short intervals,
// where the pauses for one that says nothing double.
func TestSoonIsRetriedSoon(t *testing.T) {
	runScript(t, `
		pool p size=2
		ask a@p -> wait, dial p
		failed p soon
		at 200ms -> dial p
		failed p soon
		at 500ms -> dial p
		failed p soon
		at 1s -> dial p
		failed p soon
		at 1500ms -> dial p
		failed p soon
		at 2s -> dial p
		failed p soon
		at 2500ms -> dial p
		dialed p -> a=1
	`)
	runScript(t, `
		pool p size=2
		ask a@p -> wait, dial p
		failed p refused
		at 200ms -> dial p
		failed p refused
		at 500ms -> dial p
		failed p refused
		at 1s -> dial p
		failed p refused
		at 1500ms ->
		at 2s -> dial p
		failed p refused
		at 2500ms ->
	`)
}
