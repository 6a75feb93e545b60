package report

import (
	"os"
	"testing"
)

func TestZZ(t *testing.T) {
	f, _ := os.Open("/tmp/e/r.json")
	r, err := ReadJSON(f)
	if err != nil {
		t.Fatal(err)
	}
	_, err = WritePlots("/tmp/e", r, []string{"png", "svg"})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range pictures(r) {
		d, err := p.png(look{theme: lightTheme(), width: narrowWidth})
		if err != nil {
			t.Fatal(err)
		}
		os.WriteFile("/tmp/e/n-"+p.name+".png", d, 0o644)
	}
}
