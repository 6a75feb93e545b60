package report

import (
	"bytes"
	"flag"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the golden files and the screenshots")

// shape is what a strategy's rounds are made of in the fixture.
type shape struct {
	name        string
	rate        float64 // calls a second
	p50         float64 // seconds
	tail        float64 // the standard deviation of the latency's logarithm
	connections int
	client      float64 // CPU seconds for 10,000 calls
	pooler      float64
	server      float64
	wrong       float64 // share of the calls
	errors      map[string]float64
}

const (
	fixtureRounds  = 5
	fixtureSeconds = 4.0
)

func shapes() []shape {
	return []shape{
		{name: "none", rate: 412, p50: 19.1e-3, tail: 0.22, connections: 8, client: 5.2, server: 28.4},
		{name: "global", rate: 17100, p50: 0.46e-3, tail: 0.25, connections: 4, client: 0.34, server: 0.41},
		{
			name: "global-unsafe", rate: 9800, p50: 0.22e-3, tail: 0.9, connections: 4, client: 0.51, server: 0.44, wrong: 0.31,
			errors: map[string]float64{"connection": 0.004, "timeout": 0.0004},
		},
		{name: "driver-pool", rate: 21800, p50: 0.33e-3, tail: 0.34, connections: 16, client: 0.38, server: 0.42},
		{name: "direct", rate: 23100, p50: 0.31e-3, tail: 0.3, connections: 8, client: 0.33, server: 0.43},
		{name: "carpool-connect", rate: 4150, p50: 1.84e-3, tail: 0.35, connections: 4, client: 1.8, pooler: 1.05, server: 0.46},
		{name: "carpool", rate: 16900, p50: 0.45e-3, tail: 0.33, connections: 4, client: 0.36, pooler: 0.13, server: 0.43},
		{name: "carpool-session", rate: 14200, p50: 0.47e-3, tail: 0.8, connections: 8, client: 0.36, pooler: 0.12, server: 0.42},
		{name: "pgbouncer", rate: 15000, p50: 0.51e-3, tail: 0.35, connections: 4, client: 0.36, pooler: 0.18, server: 0.43},
		{name: "pgbouncer-connect", rate: 4230, p50: 1.8e-3, tail: 0.42, connections: 4, client: 1.8, pooler: 0.92, server: 0.46},
		{name: "python-psycopg2-none", rate: 301, p50: 26.1e-3, tail: 0.21, connections: 8, client: 11.9, server: 28.9},
		{name: "python-psycopg2-pool", rate: 5230, p50: 1.48e-3, tail: 0.38, connections: 8, client: 2.4, server: 0.51},
	}
}

// fixture is a report as a run on a small machine gives it. The same arguments give the same report; speedup multiplies
// the rates of carpool's strategies.
func fixture(seed uint64, speedup float64) Report {
	random := rand.New(rand.NewPCG(seed, 7))
	overhead := Overhead{HarnessSeconds: 27.1e-6, BareSeconds: 23.9e-6}
	r := Report{
		Schema: SchemaVersion, Made: time.Date(2026, 3, 14, 15, 9, 26, 0, time.UTC),
		Environment: Environment{
			CPU: "AMD EPYC 7763", Cores: 4, MemoryBytes: 16 << 30, OS: "Linux 6.18.0", Go: "go1.26.0", Carpool: "0.4.0",
			Commit: "1a2b3c4d5e6f", Postgres: "17.2", Private: true, MaxConnections: 100,
			Poolers:        map[string]string{"carpool": "0.4.0", "pgbouncer": "1.24.0"},
			LoadAverage:    0.31,
			ServerSettings: map[string]string{"fsync": "off", "max_connections": "100", "shared_buffers": "128MB"},
		},
		Settings: Settings{
			Workload: "books", Protocol: "extended", Clients: 8, Processes: 4, PoolSize: 4, Rounds: fixtureRounds,
			DurationSeconds: fixtureSeconds, Transport: "tcp", Seed: seed, CommandLine: "carpool bench --rounds 5 --processes 4",
		},
		Overhead: &overhead,
	}
	for _, s := range shapes() {
		if slices.Contains([]string{"carpool", "carpool-connect", "carpool-session"}, s.name) {
			s.rate *= speedup
			s.p50 /= speedup
		}
		r.Strategies = append(r.Strategies, s.strategy(random, fixtureRounds))
	}
	alchemy := Describe("python-sqlalchemy-pool")
	r.Strategies = append(r.Strategies, Strategy{
		Name: "python-sqlalchemy-pool", Title: alchemy.Title, LectureSeconds: alchemy.LectureSeconds,
		Skipped: "SQLAlchemy isn't installed for python3.",
	})
	r.Sweeps = []Sweep{poolSweep(random), clientSweep(random)}
	Finish(&r)
	return r
}

// from is a report to derive testdata/run.json from.
var from = flag.String("from", "", "with -update: a report.json of carpool bench whose numbers the screenshots show")

// runReport is a report of a real run, which screenshots show. With -update and -from it is replaced.
func runReport(t *testing.T) Report {
	t.Helper()
	path := filepath.Join("testdata", "run.json")
	if *update && *from != "" {
		var out bytes.Buffer
		if err := WriteJSON(&out, coarse(readReport(t, *from))); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, out.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return readReport(t, path)
}

func readReport(t *testing.T, path string) Report {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	r, err := ReadJSON(file)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// coarse is r with fewer buckets of latencies, each some 8 % wide: a file of a tenth of the size, and the same pictures.
// Warnings and advice are those of today's code.
func coarse(r Report) Report {
	r.Warnings, r.Advice = nil, nil
	// Where the files went is nobody's business.
	r.Settings.CommandLine = strings.Join(slices.DeleteFunc(strings.Fields(r.Settings.CommandLine), func(option string) bool { return strings.HasPrefix(option, "--out") }), " ")
	all := [][]Strategy{r.Strategies}
	for _, sweep := range r.Sweeps {
		for _, point := range sweep.Points {
			all = append(all, point.Strategies)
		}
	}
	for i, strategies := range all {
		for _, s := range strategies {
			for j := range s.Rounds {
				s.Rounds[j].Latency = merged(s.Rounds[j].Latency)
				if i > 0 {
					s.Rounds[j].Samples = s.Rounds[j].Samples[:min(2, len(s.Rounds[j].Samples))]
				}
			}
		}
	}
	Finish(&r)
	return r
}

// merged are buckets merged with their neighbours, each at the mean of its calls.
func merged(buckets []Bucket) []Bucket {
	const width = 1.08
	var all []Bucket
	first := 0.0
	for _, b := range buckets {
		last := len(all) - 1
		if last < 0 || b[0] > first*width {
			all, first = append(all, b), b[0]
			continue
		}
		calls := all[last][1] + b[1]
		mean := (all[last][0]*all[last][1] + b[0]*b[1]) / calls
		all[last] = Bucket{math.Round(mean*1e7) / 1e7, calls}
	}
	return all
}

func (s shape) strategy(random *rand.Rand, rounds int) Strategy {
	about := Describe(s.name)
	strategy := Strategy{Name: s.name, Title: about.Title, Unsafe: about.Unsafe, LectureSeconds: about.LectureSeconds}
	for range rounds {
		strategy.Rounds = append(strategy.Rounds, s.round(random))
	}
	return strategy
}

func (s shape) round(random *rand.Rand) Round {
	drift := 1 + 0.025*random.NormFloat64()
	calls := int64(s.rate * fixtureSeconds * drift)
	cpu := func(per10000 float64) *float64 {
		if per10000 == 0 {
			return nil
		}
		seconds := math.Round(per10000*float64(calls)/10_000*(1+0.03*random.NormFloat64())*1e3) / 1e3
		return &seconds
	}
	round := Round{
		ElapsedSeconds: fixtureSeconds, Calls: calls, Latency: latencies(random, calls, s.p50/drift, s.tail), Errors: map[string]int64{},
		ServerConnections: &s.connections, ClientCPUSeconds: cpu(s.client), PoolerCPUSeconds: cpu(s.pooler), ServerCPUSeconds: cpu(s.server),
	}
	if s.pooler > 0 {
		bytes := 13_800_000 + random.Int64N(900_000)
		round.PoolerBytes = &bytes
	}
	if s.wrong > 0 {
		round.WrongAnswers = int64(s.wrong * float64(calls))
		round.ProtocolErrors = round.WrongAnswers / 9
		round.MixedTransactions = round.WrongAnswers / 40
		round.Examples = []string{
			`asked for the book 0596007973, got "Types and Programming Languages"`,
			"began a transaction and found it already ended by somebody else",
			"asked one question and got the end of another caller's answer: no row, then ReadyForQuery",
		}
		round.FirstError = "unexpected end of the connection"
	}
	for state, share := range s.errors {
		round.Errors[state] = int64(share * float64(calls))
	}
	for i := range 9 {
		at := fixtureSeconds * float64(i) / 8
		connections := s.connections
		if i == 0 {
			connections = 0
		} else if s.name == "none" || s.name == "python-psycopg2-none" {
			connections = max(1, connections-random.IntN(3))
		}
		round.Samples = append(round.Samples, Sample{AtSeconds: at, ServerConnections: connections})
	}
	return round
}

// latencies spreads calls over buckets that are 12 % apart, along a log-normal distribution with a few stragglers.
func latencies(random *rand.Rand, calls int64, p50, deviation float64) []Bucket {
	var buckets []Bucket
	left := calls
	below := func(x float64) float64 {
		normal := 0.5 * math.Erfc(-math.Log(x/p50)/deviation/math.Sqrt2)
		straggler := 0.5 * math.Erfc(-math.Log(x/(p50*6))/0.5/math.Sqrt2)
		return 0.994*normal + 0.006*straggler
	}
	for low := p50 / 20; low < p50*60 && left > 0; low *= 1.12 {
		expected := float64(calls) * (below(low*1.12) - below(low))
		n := min(left, int64(expected+random.Float64()))
		if n > 0 {
			value := math.Round(low*1.06*1e8) / 1e8
			buckets = append(buckets, Bucket{value, float64(n)})
			left -= n
		}
	}
	if left > 0 {
		buckets[len(buckets)-1][1] += float64(left)
	}
	return buckets
}

func poolSweep(random *rand.Rand) Sweep {
	sweep := Sweep{Setting: "pool"}
	for i, rate := range []float64{6900, 11800, 16800, 17100, 16900, 16700, 16200} {
		size := 1 << i
		s := shape{name: "carpool", rate: rate, p50: 8 / rate, tail: 0.35, connections: min(size, 8), pooler: 0.13, server: 0.43, client: 0.36}
		sweep.Points = append(sweep.Points, Point{Value: size, Clients: 64, PoolSize: size, Strategies: []Strategy{s.strategy(random, 3)}})
	}
	return sweep
}

func clientSweep(random *rand.Rand) Sweep {
	sweep := Sweep{Setting: "clients"}
	for i := range 7 {
		clients := 1 << i
		saturation := func(peak, half float64) float64 { return peak * float64(clients) / (float64(clients) + half) }
		var strategies []Strategy
		for _, s := range []shape{
			{name: "none", rate: saturation(450, 0.8), tail: 0.25},
			{name: "driver-pool", rate: saturation(23500, 2), tail: 0.3},
			{name: "direct", rate: saturation(25000, 2) * (1 - 0.004*float64(clients)), tail: 0.3},
			{name: "carpool-connect", rate: saturation(4700, 1.6), tail: 0.3},
			{name: "carpool", rate: saturation(19500, 2.4), tail: 0.3},
			{name: "pgbouncer", rate: saturation(17000, 2.2), tail: 0.3},
		} {
			s.p50 = float64(clients) / s.rate
			s.connections = min(clients, 4)
			strategies = append(strategies, s.strategy(random, 3))
		}
		sweep.Points = append(sweep.Points, Point{Value: clients, Clients: clients, PoolSize: 4, Strategies: strategies})
	}
	return sweep
}

// golden compares got with a file of testdata, which -update writes.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Errorf("%s differs from what is written now; look at it, and run the test with -update if it is right.\n%s", path, firstDifference(string(want), string(got)))
	}
}

func firstDifference(want, got string) string {
	at := 0
	for at < len(want) && at < len(got) && want[at] == got[at] {
		at++
	}
	near := func(s string) string { return s[max(0, min(at, len(s))-60):min(len(s), at+100)] }
	return "want ..." + near(want) + "...\ngot  ..." + near(got) + "..."
}
