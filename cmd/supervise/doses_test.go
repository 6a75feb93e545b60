package supervise

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestDoses tells stories in words of a letter and a time in milliseconds: t
// and i are a TERM and an INT that we got, T and I the same as the witness
// reports them, ? an answer to a question asked then, ! the loss of the witness.
func TestDoses(t *testing.T) {
	for _, row := range []struct {
		name, story string
		want        string // what is forwarded, in order
	}{
		{"nothing came", "?500", ""},
		{"us alone", "t0 ?200", "t"},
		{"asked too early", "t0 ?199", ""},
		{"everybody, the witness first", "T0 t5 ?300", ""},
		{"everybody, we first", "t0 T5 ?300", ""},
		{"the witness was slow to report", "t0 T900 ?200", ""},
		{"three times to everybody", "t0 T1 t50 t90 T91 ?400", ""},
		{"three times to everybody, merged for the witness", "t0 t1 t2 T3 ?400", ""},
		{"three times to us", "t0 t1 t2 ?400", "ttt"},
		{"everybody, then us alone", "t0 T1 t300 ?500", "t"},
		{"us alone, then everybody", "t0 ?200 t250 T251 ?450", "t"},
		{"another signal to everybody", "t0 I1 ?200", "t"},
		{"in the order they came", "t0 i10 t20 ?220", "tit"},
		{"only those old enough", "t0 i150 ?200", "t"},
		{"the witness is lost", "t0 i10 I12 t20 !30", "tt"},
	} {
		t.Run(row.name, func(t *testing.T) {
			if got := tell(t, row.story); got != row.want {
				t.Errorf("%s: forwarded %q, want %q", row.story, got, row.want)
			}
		})
	}
}

func tell(t *testing.T, story string) string {
	t.Helper()
	letters := map[syscall.Signal]string{syscall.SIGTERM: "t", syscall.SIGINT: "i"}
	var d doses
	var forwarded strings.Builder
	for word := range strings.FieldsSeq(story) {
		var letter rune
		var ms int
		if _, err := fmt.Sscanf(word, "%c%d", &letter, &ms); err != nil {
			t.Fatalf("%s: %v", word, err)
		}
		now := time.Unix(1000, 0).Add(time.Duration(ms) * time.Millisecond)
		var alone []syscall.Signal
		switch letter {
		case 't':
			d.ask(syscall.SIGTERM, now)
		case 'i':
			d.ask(syscall.SIGINT, now)
		case 'T':
			d.witnessed(syscall.SIGTERM, now)
		case 'I':
			d.witnessed(syscall.SIGINT, now)
		case '?':
			alone = d.vouched(now)
		case '!':
			alone = d.giveUp()
		}
		for _, sig := range alone {
			forwarded.WriteString(letters[sig])
		}
	}
	return forwarded.String()
}
