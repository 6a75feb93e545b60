package report

import (
	"bytes"
	"encoding/csv"
	"encoding/xml"
	"errors"
	"image/color"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/perf/benchfmt"
)

// everyFormat writes r in all formats that are text.
func everyFormat(t *testing.T, r Report) map[string][]byte {
	t.Helper()
	written := make(map[string][]byte)
	for name, write := range map[string]func(io.Writer, Report) error{
		"table":     func(w io.Writer, r Report) error { return WriteTable(w, r, Options{}) },
		"csv":       WriteCSV,
		"markdown":  WriteMarkdown,
		"benchstat": WriteBenchstat,
		"html":      WriteHTML,
		"json":      WriteJSON,
	} {
		var out bytes.Buffer
		if err := write(&out, r); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		written[name] = out.Bytes()
	}
	return written
}

// compareOrFail compares two reports, which can be any.
func compareOrFail(t *testing.T, a, b Report) {
	t.Helper()
	if err := WriteComparison(io.Discard, Side{"a", a}, Side{"b", b}, Options{}); err != nil {
		t.Error(err)
	}
}

func TestGoldenTexts(t *testing.T) {
	written := everyFormat(t, fixture(1, 1))
	golden(t, "report.txt", written["table"])
	golden(t, "report.md", written["markdown"])
	golden(t, "report.bench", written["benchstat"])
	golden(t, "report.csv", written["csv"])
}

func TestTableFitsTheTerminal(t *testing.T) {
	r := fixture(1, 1)
	for _, width := range []int{60, 80, 100, 120, 200} {
		var out bytes.Buffer
		if err := WriteTable(&out, r, Options{Width: width}); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(out.String()) {
			if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > width {
				t.Errorf("in %d columns there is a line of %d: %s", width, n, line)
			}
		}
		for _, s := range ran(r.Strategies) {
			if !strings.Contains(out.String(), "\n"+s.Name+":") {
				t.Errorf("in %d columns the row of %s is missing", width, s.Name)
			}
		}
	}
}

func TestTableColours(t *testing.T) {
	for _, colour := range []bool{false, true} {
		var out bytes.Buffer
		if err := WriteTable(&out, fixture(1, 1), Options{Color: colour}); err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(out.String(), "\x1b["); got != colour {
			t.Errorf("with Color %v there are escape sequences: %v", colour, got)
		}
	}
}

func TestColumnsWithoutValuesAreDropped(t *testing.T) {
	r := Report{Settings: Settings{Workload: "select1"}, Strategies: []Strategy{{Name: "direct", Rounds: []Round{{ElapsedSeconds: 1, Calls: 10}}}}}
	Finish(&r)
	heads := outcomeGrid(r).heads
	if want := []string{"how a call gets\nits connection", "calls\na second", "errors", "wrong\nanswers"}; !slices.Equal(heads, want) {
		t.Errorf("the columns are %q, want %q", heads, want)
	}
	if n := len(costGrid(r).heads); n != 1 {
		t.Errorf("there are %d columns of costs, want only the titles", n)
	}
}

// hostile is a report whose every text tries to become something else.
func hostile() Report {
	const evil = "<script>alert(1)</script>|`x`\x1b[31m\n*b* &amp; \" '"
	r := fixture(3, 1)
	r.Settings.Workload, r.Settings.CommandLine, r.Environment.CPU = evil, evil, evil
	r.Environment.ServerSettings = map[string]string{evil: evil}
	r.Warnings = append(r.Warnings, evil)
	r.Strategies = append(r.Strategies[:3], Strategy{Name: evil, Title: evil, Rounds: r.Strategies[2].Rounds}, Strategy{Name: "x", Skipped: evil})
	for i := range r.Strategies[2].Rounds {
		round := &r.Strategies[2].Rounds[i]
		round.Examples, round.FirstError = []string{evil}, evil
		round.Errors[evil] = 3
	}
	Finish(&r)
	return r
}

func TestHostileText(t *testing.T) {
	written := everyFormat(t, hostile())
	for _, name := range []string{"table", "markdown", "html", "csv", "benchstat"} {
		if bytes.ContainsRune(written[name], '\x1b') {
			t.Errorf("%s has an escape character", name)
		}
	}
	for _, tag := range []string{"<script", "<b>", "alert(1)</"} {
		if bytes.Contains(written["html"], []byte(tag)) {
			t.Errorf("the page has %q", tag)
		}
	}
	if bytes.Contains(bytes.ReplaceAll(written["markdown"], []byte(`\<`), nil), []byte("<")) {
		t.Error("the Markdown has an angle bracket that isn't escaped")
	}
	columns := map[int]bool{}
	table := strings.Split(string(written["markdown"]), "\n|---")[0]
	_, rows, _ := strings.Cut(table, "\n| how")
	for _, line := range strings.Split(rows, "\n") {
		columns[strings.Count(strings.ReplaceAll(line, `\|`, ""), "|")] = true
	}
	if len(columns) != 1 {
		t.Errorf("the rows of the Markdown table have %v bars", columns)
	}
	for _, p := range pictures(hostile()) {
		svg, err := p.svg(look{theme: lightTheme(), width: wideWidth})
		if err != nil {
			t.Fatal(err)
		}
		wellFormed(t, p.name, svg)
	}
}

// wellFormed fails the test when data isn't XML.
func wellFormed(t *testing.T, name string, data []byte) {
	t.Helper()
	decoder := xml.NewDecoder(bytes.NewReader(data))
	for {
		if _, err := decoder.Token(); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
}

func TestEmptyReport(t *testing.T) {
	var r Report
	Finish(&r)
	everyFormat(t, r)
	compareOrFail(t, r, r)
	if paths, err := WritePlots(t.TempDir(), r, []string{"svg"}); err != nil || len(paths) != 0 {
		t.Errorf("plots of nothing: %q, %v", paths, err)
	}
}

func TestCSV(t *testing.T) {
	r := fixture(1, 1)
	rows, err := csv.NewReader(bytes.NewReader(everyFormat(t, r)["csv"])).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if want := 1 + fixtureRounds*len(ran(r.Strategies)); len(rows) != want {
		t.Fatalf("%d rows, want %d", len(rows), want)
	}
	at := func(row int, name string) string { return rows[row][slices.Index(rows[0], name)] }
	round := r.Strategies[0].Rounds[0]
	if at(1, "strategy") != "none" || at(1, "round") != "1" || at(1, "calls") != strconv.FormatInt(round.Calls, 10) {
		t.Errorf("the first row is %q", rows[1])
	}
	if at(1, "pooler_cpu_seconds") != "" || at(1, "server_connections") != "8" {
		t.Errorf("what wasn't measured is %q, connections are %q", at(1, "pooler_cpu_seconds"), at(1, "server_connections"))
	}
}

func TestBenchstatFormat(t *testing.T) {
	r := fixture(1, 1)
	r.Settings.Workload = "read-heavy"
	r.Strategies = append(r.Strategies, Strategy{Name: "a pooler/at 10.0.0.1", Rounds: []Round{{ElapsedSeconds: 2, Calls: 10}, {ElapsedSeconds: 2}}})
	reader := benchfmt.NewReader(bytes.NewReader(everyFormat(t, r)["benchstat"]), "report")
	results := 0
	for reader.Scan() {
		switch record := reader.Result().(type) {
		case *benchfmt.SyntaxError:
			t.Error(record)
		case *benchfmt.Result:
			results++
			name := record.Name.String()
			if !strings.HasPrefix(name, "ReadHeavy/strategy=") || !strings.HasSuffix(name, "/processes=4/clients=8") || strings.Count(name, "/") != 3 {
				t.Errorf("the name is %q", name)
			}
			if record.GetConfig("goos") != "linux" || record.GetConfig("cpu") != r.Environment.CPU {
				t.Errorf("the configuration is goos %q, cpu %q", record.GetConfig("goos"), record.GetConfig("cpu"))
			}
			seconds, ok := record.Value("sec/op") // benchfmt reads nanoseconds as seconds
			rate, ok2 := record.Value("calls/s")
			if !ok || !ok2 || seconds*rate < 0.99 || seconds*rate > 1.01 {
				t.Errorf("%s has %v seconds a call and %v calls a second", name, seconds, rate)
			}
		}
	}
	if err := reader.Err(); err != nil {
		t.Fatal(err)
	}
	if want := fixtureRounds*12 + 1; results != want {
		t.Errorf("%d lines, want %d", results, want)
	}
}

func TestWritePlots(t *testing.T) {
	dir := t.TempDir()
	paths, err := WritePlots(dir, fixture(1, 1), []string{"svg"})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, path := range paths {
		names = append(names, filepath.Base(path))
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		wellFormed(t, path, data)
	}
	for _, want := range []string{"calls", "latency", "clients", "pool", "pool-latency", "connections"} {
		for _, suffix := range []string{".svg", "-dark.svg"} {
			if !slices.Contains(names, want+suffix) {
				t.Errorf("%s is missing in %q", want+suffix, names)
			}
		}
	}
	if _, err := WritePlots(dir, fixture(1, 1), []string{"gif"}); err == nil {
		t.Error("a format that there isn't is no error")
	}
	if _, err := WritePlots(filepath.Join(dir, "missing"), fixture(1, 1), []string{"svg"}); err == nil {
		t.Error("a directory that there isn't is no error")
	}
}

func TestPNG(t *testing.T) {
	paths, err := WritePlots(t.TempDir(), Report{Strategies: fixture(1, 1).Strategies[:2]}, []string{"png"})
	if err != nil || len(paths) != 6 {
		t.Fatalf("wrote %q, %v", paths, err)
	}
	file, err := os.Open(paths[0])
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	picture, err := png.Decode(file)
	if err != nil {
		t.Fatal(err)
	}
	if got := picture.Bounds().Dx(); got != int(wideWidth)*pngDPI/72 {
		t.Errorf("the picture is %d pixels wide", got)
	}
	colours := make(map[color.NRGBA]int)
	for y := range picture.Bounds().Dy() {
		for x := range picture.Bounds().Dx() {
			colours[color.NRGBAModel.Convert(picture.At(x, y)).(color.NRGBA)]++
		}
	}
	for _, name := range []string{"none", "global"} {
		if p, _ := penOf(name); colours[p.light] < 500 {
			t.Errorf("%d pixels have the colour of %s", colours[p.light], name)
		}
	}
}
