package faults

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
)

// fault is a row of docs/reliability.md.
type fault struct{ what, holds string }

// faults are all rows, in their order.
var faults = []fault{
	{"server backend killed in a transaction", "its client is told; others notice nothing"},
	{"server shut down at once and restarted, under load", "nothing acknowledged is lost; who waits is served without connecting anew"},
	{"server crashed (SIGKILL) and restarted, under load", "the same"},
	{"server's end in the midst of COPY", "the client is told at once; others notice nothing"},
	{"server at max_connections", "clients share the connections that there are; nobody is told of it"},
	{"server starting up (57P03)", "clients wait until it is up"},
	{"network: black hole between carpool and server", "every client hears of it in time; service goes on afterwards"},
	{"network: black hole between carpool and clients", "their servers are free after the time limits; others go on"},
	{"network: all bytes held up for a while", "nobody notices more than the delay"},
	{"network: 100 ms to the server and back", "throughput is pool size by latency"},
	{"network: uneven latency on both sides, with stalls", "throughput is pool size by latency; nobody waits for another's stall longer than for a server"},
	{"network: one byte at a time", "every answer is right"},
	{"network: connection to the client reset behind every byte", "no hang, no server lost track of"},
	{"network: connection to the server reset behind every byte", "the client hears of it; no hang, no wrong answer"},
	{"half of the hosts down", "connections go to the others; transactions under way there fail, and no others"},
	{"failover to another server", "the other one is used; nothing acknowledged is lost"},
	{"server becomes read-only, another one has its address", "after RECONNECT nobody meets the old one"},
	{"slow reader", "carpool's memory is bounded; others go on"},
	{"client floods a server that takes nothing", "the client is held back, carpool's memory is bounded"},
	{"client stopped in a transaction", "its server is free after idle_transaction_timeout"},
	{"file descriptors exhausted", "clients that are there go on; carpool doesn't spin, and recovers by itself"},
	{"thundering herd", "all are let in and served, by no more servers than there may be"},
	{"little memory", "idle clients cost little; others go on"},
	{"certificate rotated", "new connections see the new one, old ones live; a broken one changes nothing"},
	{"reload of a broken configuration, and of a large one", "the broken one changes nothing, and its line is told; nobody notices"},
	{"PAUSE, restart of the server, RESUME", "nobody notices more than the delay"},
	{"carpool told to end (SIGINT), under load", "transactions under way end, then carpool does"},
	{"carpool replaced by another one (SO_REUSEPORT), under load", "who comes is let in; no transaction is cut off"},
	{"carpool suspended (SIGSTOP)", "it goes on, and nobody is dropped"},
	{"log can't be written (disk full)", "service goes on"},
	{"everything at once", "nothing acknowledged is lost, nothing is there twice, no answer is another's"},
	{"carpool killed (SIGKILL), under load", "nothing acknowledged is lost; no session or transaction stays behind"},
}

var figures struct {
	mu sync.Mutex
	of map[string]string // by what the fault is
}

// figure prints what was measured for a fault, and keeps it for the document.
func figure(t *testing.T, what, format string, args ...any) {
	t.Helper()
	text := fmt.Sprintf(format, args...)
	t.Logf("%s: %s", what, text)
	known := false
	for _, f := range faults {
		known = known || f.what == what
	}
	if !known {
		t.Errorf("no row for %q", what)
	}
	figures.mu.Lock()
	defer figures.mu.Unlock()
	if figures.of == nil {
		figures.of = make(map[string]string)
	}
	figures.of[what] = text
}

const (
	document   = "docs/reliability.md"
	tableBegin = "<!-- faults: begin -->\n"
	tableEnd   = "<!-- faults: end -->"
)

// writeFigures puts what was measured into the document. Rows that weren't measured in this run stay as they are.
func writeFigures() error {
	name := filepath.Join("..", "..", filepath.FromSlash(document))
	text, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	before, rest, found := strings.Cut(string(text), tableBegin)
	old, after, ended := strings.Cut(rest, tableEnd)
	if !found || !ended {
		return fmt.Errorf("%s has no place for the figures", document)
	}
	known := rows(old)
	var b strings.Builder
	b.WriteString("| fault | what holds | measured |\n|---|---|---|\n")
	for _, f := range faults {
		measured, now := figures.of[f.what]
		if !now {
			measured = known[f.what]
		}
		fmt.Fprintf(&b, "| %s | %s | %s |\n", f.what, f.holds, measured)
	}
	return os.WriteFile(name, []byte(before+tableBegin+b.String()+tableEnd+after), 0o644)
}

// rows are the last cells of a table's rows, by the first.
func rows(table string) map[string]string {
	known := make(map[string]string)
	for line := range strings.Lines(table) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if len(cells) == 3 && strings.TrimSpace(cells[0]) != "fault" && !strings.HasPrefix(cells[0], "---") {
			known[strings.TrimSpace(cells[0])] = strings.TrimSpace(cells[2])
		}
	}
	return known
}

// The document has a figure for each fault.
func TestDocument(t *testing.T) {
	if *update {
		return // it is about to be written
	}
	text, err := os.ReadFile(filepath.Join("..", "..", filepath.FromSlash(document)))
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(text), tableBegin)
	table, _, _ = strings.Cut(table, tableEnd)
	known := rows(table)
	for _, f := range faults {
		if known[f.what] == "" {
			t.Errorf("%s has no figure for: %s (go test ./bench/faults -args -full -update)", document, f.what)
		}
		if !strings.Contains(table, "| "+f.what+" | "+f.holds+" |") {
			t.Errorf("%s says something else about: %s", document, f.what)
		}
	}
	if len(known) != len(faults) {
		t.Errorf("%s has %d rows for %d faults", document, len(known), len(faults))
	}
	there := allTests(t)
	for name := range named(string(text)) {
		if !there[name] {
			t.Errorf("%s names %s, and there is no such test", document, name)
		}
	}
}

// named are the tests that a text names.
func named(text string) map[string]bool {
	list := make(map[string]bool)
	for _, name := range regexp.MustCompile("`(Test[A-Za-z]+)`").FindAllStringSubmatch(text, -1) {
		list[name[1]] = true
	}
	return list
}

// allTests are the tests that there are.
func allTests(t *testing.T) map[string]bool {
	t.Helper()
	list, function := make(map[string]bool), regexp.MustCompile(`(?m)^func (Test\w+)\(`)
	err := filepath.WalkDir(filepath.Join("..", ".."), func(name string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(name, "_test.go") {
			return err
		}
		text, err := os.ReadFile(name)
		for _, found := range function.FindAllSubmatch(text, -1) {
			list[string(found[1])] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}
