package experiment

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"carpool/bench/report"
	"carpool/bench/worker"
	"carpool/bench/workload"
)

// sound is a plan that nothing is wrong with.
func sound(t *testing.T) Plan {
	t.Helper()
	books, err := workload.Find("books")
	if err != nil {
		t.Fatal(err)
	}
	return Plan{
		Share: 0.5, Scale: 1, Workload: books, Protocol: worker.Simple, Clients: 32, Processes: 4, PoolSize: 8, Rounds: 5,
		Duration: time.Second, Seed: 1, SweepPool: []int{1, 16, 64}, SweepClients: []int{1, 8},
	}
}

func TestPlanCheck(t *testing.T) {
	if err := sound(t).Check(); err != nil {
		t.Errorf("a sound plan: %v", err)
	}
	storm, err := workload.Find("storm")
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		change func(*Plan)
		want   string
	}{
		{func(p *Plan) { p.Clients = 0 }, "--clients must be at least 1, not 0"},
		{func(p *Plan) { p.Clients = 1e6 }, "--clients must be at most"},
		{func(p *Plan) { p.Processes = 33 }, "--processes must be between 1 and the number of clients, 32, not 33"},
		{func(p *Plan) { p.Processes = 0 }, "--processes"},
		{func(p *Plan) { p.PoolSize = 0 }, "--pool-size"},
		{func(p *Plan) { p.Rounds = 0 }, "--rounds"},
		{func(p *Plan) { p.Scale = 0 }, "--scale"},
		{func(p *Plan) { p.Duration = 0 }, "--duration or --calls"},
		{func(p *Plan) { p.Duration = -1 }, "negative"},
		{func(p *Plan) { p.Share = 1.5 }, "--share"},
		{func(p *Plan) { p.SSLMode = "always" }, "--sslmode"},
		{func(p *Plan) { p.Unix, p.SSLMode = true, "require" }, "--unix and --sslmode=require"},
		{func(p *Plan) { p.Unix, p.Delay = true, time.Millisecond }, "--delay needs TCP"},
		{func(p *Plan) { p.Rate, p.Workload = 100, storm }, "--rate doesn't go with the workload storm"},
		{func(p *Plan) { p.Rate, p.ThinkTime = 100, time.Second }, "exclude each other"},
		{func(p *Plan) { p.Rate, p.Duration, p.Calls = 100, 0, 10 }, "--rate needs --duration"},
		{func(p *Plan) { p.Strategies = []string{"nune"} }, `no strategy is called "nune"`},
		{func(p *Plan) { p.Rivals = []Rival{{"carpool", "postgres://h/d"}} }, "is a strategy already"},
		{func(p *Plan) { p.Rivals = []Rival{{"odyssey", ""}} }, "NAME=URL"},
		{func(p *Plan) { p.SweepPool = []int{1, 0} }, "--sweep pool"},
	} {
		p := sound(t)
		row.change(&p)
		err := p.Check()
		if err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("want %q, got %v", row.want, err)
		}
		if _, ok := errors.AsType[*PlanError](err); !ok {
			t.Errorf("%v isn't a PlanError", err)
		}
	}
}

// What a trial takes of the server decides whether it may run at all.
func TestServers(t *testing.T) {
	z := size{clients: 32, processes: 4, pool: 6}
	for name, want := range map[string]int{
		"none": 32, "global": 4, "global-unsafe": 4, "driver-pool": 24, "direct": 132, "carpool-connect": 6, "carpool": 6,
		"carpool-session": 132, "pgbouncer": 6, "python-psycopg2-none": 32, "python-psycopg2-pool": 24, "python-sqlalchemy-pool": 24,
		"python-carpool-connect": 6, "pgbench": 32,
	} {
		s, ok := find(name)
		if !ok {
			t.Fatalf("no strategy %s", name)
		}
		idle := 0
		if s.technique == worker.Kept {
			idle = 100
		}
		if got := s.servers(z, idle); got != want {
			t.Errorf("%s takes %d server connections, want %d", name, got, want)
		}
	}
}

// Every strategy has one turn in each round, in an order that the seed decides and that changes from round to round.
func TestSchedule(t *testing.T) {
	names := []string{"none", "global", "driver-pool", "direct", "carpool", "carpool-session"}
	order := func(seed uint64) []string {
		trials := schedule(seed, 6, func(round int) []trialSpec {
			var turns []trialSpec
			for _, name := range names {
				turns = append(turns, trialSpec{strategy: strategy{name: name}, round: round})
			}
			return turns
		})
		var all []string
		for _, trial := range trials {
			all = append(all, trial.strategy.name)
		}
		return all
	}
	first := order(1)
	if !slices.Equal(first, order(1)) {
		t.Error("equal seeds give unequal orders")
	}
	if slices.Equal(first, order(2)) {
		t.Error("another seed gives the same order")
	}
	sorted := slices.Sorted(slices.Values(names))
	changed := false
	for turn := 0; turn < len(first); turn += len(names) {
		round := first[turn : turn+len(names)]
		if got := slices.Sorted(slices.Values(round)); !slices.Equal(got, sorted) {
			t.Errorf("a round of %v", got)
		}
		changed = changed || !slices.Equal(round, first[:len(names)])
	}
	if !changed {
		t.Error("all rounds have the same order")
	}
}

// A plan that may be fitted takes no more than the server allows.
func TestFit(t *testing.T) {
	for _, allowed := range []int{1, 2, 5, 10, 32, 500} {
		p := sound(t)
		said := 0
		p.fit(allowed, func(string) { said++ })
		if err := p.Check(); err != nil {
			t.Errorf("%d: %v", allowed, err)
		}
		for _, s := range p.strategies() {
			if n := s.servers(p.size(), 0); n > allowed {
				t.Errorf("%d allowed: %s takes %d", allowed, s.name, n)
			}
		}
		for _, z := range p.sizes() {
			if z.pool > allowed {
				t.Errorf("%d allowed: a pool of %d", allowed, z.pool)
			}
		}
		if allowed == 500 && (said > 0 || p.Clients != 32) || allowed == 5 && said != 1 {
			t.Errorf("%d allowed: %d notes, %d clients", allowed, said, p.Clients)
		}
	}
}

// Every strategy is described in the report, and what the lecture timed stands beside the same technique.
func TestStrategiesAreDescribed(t *testing.T) {
	lecture := map[string]float64{
		"none": 236.9, "global-unsafe": 3.2, "driver-pool": 6.7,
		"python-psycopg2-none": 236.9, "python-psycopg2-global": 3.2, "python-psycopg2-global-unsafe": 3.2,
		"python-psycopg2-pool": 6.7, "python-sqlalchemy-pool": 12.2,
	}
	for _, s := range known {
		told := report.Describe(s.name)
		if told.Title == s.name || told.Meaning == "" || told.LectureSeconds != lecture[s.name] {
			t.Errorf("%s: %+v, in the lecture %v", s.name, told, lecture[s.name])
		}
		delete(lecture, s.name)
	}
	if len(lecture) > 0 {
		t.Errorf("there is no strategy for %v", lecture)
	}
}

func TestParsePgbench(t *testing.T) {
	const out = `pgbench (15.18)
transaction type: /tmp/s.sql
number of transactions actually processed: 30000
number of failed transactions: 0 (0.000%)
latency average = 0.500 ms
initial connection time = 12.345 ms
tps = 15000.5 (without initial connection time)
`
	r, err := parsePgbench(out, 3*time.Second)
	if err != nil || r.Calls != 30000 || r.CPU != 3*time.Second || r.Elapsed.Round(time.Millisecond) != 2*time.Second {
		t.Errorf("%+v %v", r, err)
	}
	for _, bad := range []string{"", "tps = 1.0 (without initial connection time)", "number of transactions actually processed: 5\n"} {
		if _, err := parsePgbench(bad, 0); err == nil {
			t.Errorf("%q is read", bad)
		}
	}
}
