package proxy

import (
	"fmt"
	"testing"

	"carpool/config"
)

// Whatever clients call themselves, and whoever they are, no more than so many
// hazards are told apart.
func TestHazardsAreBounded(t *testing.T) {
	h := hazards{counts: make(map[hazardKey]*Hazard)}
	total := 0
	for i := range 4 * maxHazards {
		h.countLocked(hazardKey{config.StateLocks, "app", "app", fmt.Sprint("application ", i)}).Times++
		h.countLocked(hazardKey{config.StateSeed, fmt.Sprint("database ", i), "app", "x"}).Times++
		total += 2
	}
	if n := len(h.counts); n > 2*maxHazards+int(config.StateKinds) {
		t.Errorf("%d are kept", n)
	}
	for _, one := range h.counts {
		total -= int(one.Times)
	}
	if total != 0 {
		t.Errorf("%d aren't counted", total)
	}
	if one := h.counts[hazardKey{config.StateSeed, otherNames, otherNames, otherNames}]; one == nil || one.Application != "others" {
		t.Errorf("the others: %+v", one)
	}
}
