package workload

import "testing"

func TestFind(t *testing.T) {
	const known = " (there are books, select1, tpcb, read-heavy, large, copy, prepared, transaction, storm, idle)"
	for _, w := range All() {
		found, err := Find(w.Name)
		if err != nil || found.Name != w.Name || found.Title == "" || found.NewCaller == nil {
			t.Errorf("Find(%q): %+v, %v", w.Name, found, err)
		}
	}
	for name, want := range map[string]string{
		"book":     `no workload is called "book", did you mean books?` + known,
		"TPCB":     `no workload is called "TPCB", did you mean tpcb?` + known,
		"selcet1":  `no workload is called "selcet1", did you mean select1?` + known,
		"anything": `no workload is called "anything"` + known,
		"":         `no workload is called ""` + known,
	} {
		if _, err := Find(name); err == nil || err.Error() != want {
			t.Errorf("Find(%q): got %v, want %s", name, err, want)
		}
	}
	for name, shape := range map[string]Shape{"storm": Storm, "idle": Idle, "books": Calls} {
		if w, err := Find(name); err != nil || w.Shape != shape {
			t.Errorf("Find(%q): shape %d, %v", name, w.Shape, err)
		}
	}
	if w, err := Find("prepared"); err != nil || !w.Prepared {
		t.Errorf("prepared isn't sent prepared: %v", err)
	}
}
