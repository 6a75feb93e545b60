package proxy

import (
	"fmt"
	"testing"
)

// Whatever servers send for a SQLSTATE, what is counted stays bounded.
func TestErrorCountsAreBounded(t *testing.T) {
	var c errorCounts
	if n := len(c.counts()); n != 0 {
		t.Errorf("%d codes were counted before the first", n)
	}
	for _, code := range []string{"", "5700", "57P011", "57p01", "57\n01", "57P0\xff", "ä001"} {
		c.add(code)
	}
	if got := c.counts(); len(got) != 1 || got[otherCode] != 7 {
		t.Errorf("what is no SQLSTATE is counted as %v", got)
	}
	for i := range 3 * maxCodes {
		c.add(fmt.Sprintf("%05d", i))
		c.add("00000")
	}
	got := c.counts()
	if len(got) > maxCodes+1 || got["00000"] != 3*maxCodes+1 {
		t.Errorf("%d codes are counted, and one %d times", len(got), got["00000"])
	}
	total := int64(0)
	for _, n := range got {
		total += n
	}
	if total != 7+6*maxCodes {
		t.Errorf("%d errors are counted in all", total)
	}
	c.counts()["57P01"] = 1
	if c.counts()["57P01"] != 0 {
		t.Error("the counts aren't a copy")
	}
}
