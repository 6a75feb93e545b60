package report

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"reflect"
	"strings"
	"testing"
)

func TestGoldenReport(t *testing.T) {
	r := fixture(1, 1)
	var out bytes.Buffer
	if err := WriteJSON(&out, r); err != nil {
		t.Fatal(err)
	}
	golden(t, "report.json", out.Bytes())
	file, err := os.Open("testdata/report.json")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	got, err := ReadJSON(file)
	if err != nil {
		t.Fatal(err)
	}
	if want := withoutNull(r); !reflect.DeepEqual(withoutNull(got), want) {
		t.Errorf("what was read differs from what was written:\n%+v\n%+v", got.Strategies[0].Summary, want.Strategies[0].Summary)
	}
	// A reader that knows only the documentation finds the numbers too.
	var plain struct {
		Schema     int
		Strategies []struct {
			Name    string
			Summary struct {
				CallsPerSecond struct{ Median float64 } `json:"calls_per_second"`
				Latency        map[string]float64
			}
		}
	}
	if err := json.Unmarshal(out.Bytes(), &plain); err != nil {
		t.Fatal(err)
	}
	first := plain.Strategies[0]
	if plain.Schema != 1 || first.Name != "none" || math.Abs(first.Summary.CallsPerSecond.Median-412) > 40 || first.Summary.Latency["p99"] < 0.02 {
		t.Errorf("read %+v", first)
	}
}

func TestWriteJSONHasNoNullArrays(t *testing.T) {
	r := Report{Strategies: []Strategy{{Name: "none", Rounds: []Round{{}}}, {Name: "global", Skipped: "no time"}}, Sweeps: []Sweep{{Points: []Point{{Value: 1}}}}}
	var out bytes.Buffer
	if err := WriteJSON(&out, r); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"strategies", "sweeps", "advice", "warnings", "rounds", "latency", "errors", "samples", "points", "poolers"} {
		if strings.Contains(out.String(), `"`+name+`": null`) {
			t.Errorf("%s is null", name)
		}
	}
	if r.Strategies[0].Rounds[0].Latency != nil {
		t.Error("the report was changed")
	}
}

func TestReadJSONRefuses(t *testing.T) {
	for _, test := range []struct{ name, text, want string }{
		{"nothing", ``, "isn't a report"},
		{"something else", `{"strategies": []}`, "isn't a report"},
		{"other data", `[1, 2]`, "isn't a report"},
		{"a newer version", `{"schema": 2, "strategies": []}`, "schema version 2, and this carpool knows those up to 1"},
		{"version 0", `{"schema": 0, "strategies": []}`, "isn't a report"},
		{"a wrong type", `{"schema": 1, "strategies": [{"name": 7}]}`, "read the report"},
		{"no name", `{"schema": 1, "strategies": [{}]}`, "no name of its own"},
		{"a name twice", `{"schema": 1, "strategies": [{"name": "a"}, {"name": "a"}]}`, "no name of its own"},
		{"negative time", `{"schema": 1, "strategies": [{"name": "a", "rounds": [{"elapsed_seconds": -1}]}]}`, `strategy "a", round 1`},
		{"negative calls", `{"schema": 1, "strategies": [{"name": "a", "rounds": [{"calls": -1}]}]}`, "counted -1"},
		{"endless calls", `{"schema": 1, "strategies": [{"name": "a", "rounds": [{"errors": {"x": 9000000000000000000}}]}]}`, "counted"},
		{"negative latency", `{"schema": 1, "strategies": [{"name": "a", "rounds": [{"latency": [[-1, 1]]}]}]}`, "took -1 seconds"},
		{"negative CPU", `{"schema": 1, "strategies": [{"name": "a", "rounds": [{"client_cpu_seconds": -1}]}]}`, "seconds of CPU"},
		{"negative sample", `{"schema": 1, "strategies": [{"name": "a", "rounds": [{"samples": [{"at": -1}]}]}]}`, "sampled"},
		{"sweep at 0", `{"schema": 1, "strategies": [], "sweeps": [{"setting": "pool", "points": [{"value": 0}]}]}`, `sweep "pool"`},
		{"sweep twice", `{"schema": 1, "strategies": [], "sweeps": [{"setting": "pool", "points": [{"value": 2}, {"value": 2}]}]}`, `sweep "pool"`},
		{"a bad point", `{"schema": 1, "strategies": [], "sweeps": [{"setting": "pool", "points": [{"value": 2, "strategies": [{}]}]}]}`, `sweep "pool" at 2`},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := ReadJSON(strings.NewReader(test.text))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got the error %v, want one with %q", err, test.want)
			}
		})
	}
}

// FuzzReadJSON reads anything, and writes in every format what it took for a report.
func FuzzReadJSON(f *testing.F) {
	f.Add(`{"schema": 1, "strategies": []}`)
	f.Add(`{"schema": 1, "strategies": [{"name": "none", "rounds": [{"elapsed_seconds": 1, "calls": 10, "latency": [[0.001, 10]], "samples": [{"at": 0}, {"at": 1, "server_connections": 3}]}]}]}`)
	f.Add(`{"schema": 1, "settings": {"workload": "books"}, "strategies": [{"name": "a|b\u001b[31m<script>", "title": "</svg>", "rounds": [{"elapsed_seconds": 1e-300, "calls": 1, "wrong_answers": 1, "examples": ["\u0000\n"]}]}]}`)
	f.Add(`{"schema": 1, "strategies": [{"name": "x", "rounds": [{"elapsed_seconds": 5e-324, "calls": 9, "samples": [{"at": 0}, {"at": 5e-324}]}, {"elapsed_seconds": 1e-9, "calls": 900000000000000}]}]}`)
	f.Add(`{"schema": 1, "strategies": [], "sweeps": [{"setting": "pool", "points": [{"value": 1, "strategies": [{"name": "x", "rounds": [{"elapsed_seconds": 1, "calls": 5}]}]}, {"value": 2, "strategies": [{"name": "x", "rounds": [{"elapsed_seconds": 1, "calls": 9}]}]}, {"value": 4, "strategies": [{"name": "x", "rounds": [{"elapsed_seconds": 1, "calls": 9}]}]}]}]}`)
	f.Fuzz(func(t *testing.T, text string) {
		r, err := ReadJSON(strings.NewReader(text))
		if err != nil {
			return
		}
		for name, out := range everyFormat(t, r) {
			if bytes.ContainsRune(out, '\x1b') || bytes.Contains(out, []byte("NaN")) && !strings.Contains(text, "NaN") {
				t.Errorf("%s has an escape or a number that isn't one", name)
			}
		}
		compareOrFail(t, r, r)
	})
}
