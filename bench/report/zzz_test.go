package report_test

import (
	"os"
	"testing"

	"carpool/bench/report"
)

func TestA(t *testing.T) {
	f, _ := os.Create("/tmp/e/r.json")
	report.WriteJSON(f, fixture(1, 1))
	f.Close()
}
