package experiment

import (
	"math/rand/v2"
	"slices"

	"carpool/bench/report"
)

// trialSpec is one trial to be done: a strategy at a size, in a round, and where its result goes.
type trialSpec struct {
	strategy strategy
	size     size
	round    int
	into     *report.Strategy
}

// schedule puts trials in order: round by round, and within a round shuffled, so that no strategy always follows the same
// one. Equal seeds give equal orders.
func schedule(seed uint64, rounds int, round func(number int) []trialSpec) []trialSpec {
	var all []trialSpec
	for number := range rounds {
		turns := round(number)
		rng := rand.New(rand.NewPCG(seed, uint64(number)))
		rng.Shuffle(len(turns), func(i, j int) { turns[i], turns[j] = turns[j], turns[i] })
		all = append(all, turns...)
	}
	return all
}

// sweptStrategies are those that a sweep repeats: over the size of the pool only what goes through one has something to
// tell.
var sweptStrategies = map[string][]string{
	sweepPool:    {"carpool"},
	sweepClients: {"none", "driver-pool", "carpool-connect", "carpool"},
}

// What can be swept.
const (
	sweepPool    = "pool"
	sweepClients = "clients"
)

// maxSweepRounds bounds the rounds of a sweep, which is there for its shape.
const maxSweepRounds = 3

// sweep makes the empty points of a sweep and the trials that fill them.
func (e *experiment) sweep(setting string, values []int) (report.Sweep, []trialSpec) {
	swept := report.Sweep{Setting: setting}
	values = slices.Compact(slices.Sorted(slices.Values(values)))
	for _, value := range values {
		z := e.plan.sizeAt(setting, value)
		point := report.Point{Value: value, Clients: z.clients, PoolSize: z.pool}
		for _, s := range e.plan.strategies() {
			if slices.Contains(sweptStrategies[setting], s.name) {
				point.Strategies = append(point.Strategies, e.row(s, z))
			}
		}
		swept.Points = append(swept.Points, point)
	}
	trials := schedule(e.plan.Seed, min(e.plan.Rounds, maxSweepRounds), func(round int) []trialSpec {
		var turns []trialSpec
		for i := range swept.Points {
			point := &swept.Points[i]
			for j := range point.Strategies {
				row := &point.Strategies[j]
				if row.Skipped == "" {
					s, _ := find(row.Name)
					turns = append(turns, trialSpec{strategy: s, size: e.plan.sizeAt(setting, point.Value), round: round, into: row})
				}
			}
		}
		return turns
	})
	return swept, trials
}

// sizeAt is the plan's size with one setting changed. A sweep of the pool needs at least as many clients as the largest pool
// has servers, or the largest sizes would all be the same.
func (p Plan) sizeAt(setting string, value int) size {
	z := p.size()
	switch setting {
	case sweepPool:
		z.pool = value
		z.clients = max(z.clients, slices.Max(p.SweepPool))
	case sweepClients:
		z.clients = value
		z.processes = min(z.processes, value)
	}
	return z
}

// size is that of the main measurement.
func (p Plan) size() size { return size{clients: p.Clients, processes: p.Processes, pool: p.PoolSize} }

// row is the empty report of a strategy, with the reason when it can't be run.
func (e *experiment) row(s strategy, z size) report.Strategy {
	told := report.Describe(s.name)
	row := report.Strategy{Name: s.name, Title: told.Title, Unsafe: told.Unsafe, Skipped: e.obstacle(s, z), Rounds: []report.Round{}}
	if e.plan.Workload.Name == lectureWorkload {
		row.LectureSeconds = told.LectureSeconds
	}
	return row
}

// lectureWorkload is what the lecture timed.
const lectureWorkload = "books"
