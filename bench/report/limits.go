package report

import (
	"cmp"
	"fmt"
	"slices"
)

// limits tells what the load ran into first: refused connections, the rate, the processor, or the pool.
func limits(r Report) []string {
	told := refusals(r)
	s := r.firstOf("carpool", "direct", "driver-pool")
	if s == nil {
		return told
	}
	if s.Summary.Unstarted > 0 && r.Settings.Rate > 0 {
		told = append(told, fmt.Sprintf("%s can't keep up with %s here: it made %s", printable(s.Name), rate(r.Settings.Rate), rate(s.Summary.CallsPerSecond.Median)))
	}
	if text := processor(r, *s); text != "" {
		return append(told, text)
	}
	if text := waiting(r, *s); text != "" {
		told = append(told, text)
	}
	return told
}

// refusals tells of strategies whose connections Postgres, or a pooler, didn't take.
func refusals(r Report) []string {
	var told []string
	for _, s := range ran(r.Strategies) {
		if n := s.Summary.Errors["53300"]; n > 0 {
			told = append(told, fmt.Sprintf("%s ran out of connections: %s were refused with SQLSTATE 53300; it needs fewer clients or smaller pools, or a pooler before the server",
				printable(s.Name), plural(n, "call")))
		}
	}
	return told
}

// cores are how many processors clients, pooler and Postgres had in use, on average over the rounds that know.
type cores struct{ clients, pooler, server float64 }

func (c cores) total() float64 { return c.clients + c.pooler + c.server }

func (s Strategy) cores() (cores, bool) {
	var used cores
	elapsed, known := 0.0, false
	for _, round := range s.Rounds {
		if round.ElapsedSeconds <= 0 || round.ClientCPUSeconds == nil && round.ServerCPUSeconds == nil {
			continue
		}
		known = true
		elapsed += round.ElapsedSeconds
		for _, part := range []struct {
			sum     *float64
			seconds *float64
		}{
			{&used.clients, round.ClientCPUSeconds},
			{&used.pooler, round.PoolerCPUSeconds},
			{&used.server, round.ServerCPUSeconds},
		} {
			if part.seconds != nil {
				*part.sum += *part.seconds
			}
		}
	}
	if !known || elapsed <= 0 {
		return cores{}, false
	}
	used.clients /= elapsed
	used.pooler /= elapsed
	used.server /= elapsed
	return used, true
}

// share is how many cores somebody had in use.
type share struct {
	name string
	n    float64
}

// processor tells that the processor is the limit, and whose work it is; empty when it isn't.
func processor(r Report, s Strategy) string {
	used, known := s.cores()
	have := float64(r.Environment.Cores)
	if !known || have <= 0 || used.total() < busy*have {
		return ""
	}
	parts := []share{{"the clients", used.clients}, {"the pooler", used.pooler}, {"Postgres", used.server}}
	slices.SortStableFunc(parts, func(a, b share) int { return cmp.Compare(b.n, a.n) })
	var words []string
	for _, part := range parts {
		if part.n > 0 {
			words = append(words, amount(part.n)+" by "+part.name)
		}
	}
	text := fmt.Sprintf("The limit hit first by %s is the processor: %s of %s were in use, %s",
		printable(s.Name), amount(used.total()), plural(int64(r.Environment.Cores), "core"), list(words))
	if r.Environment.Private {
		text += "; with the database on a machine of its own the numbers would be higher"
	}
	return text
}

// waiting tells that clients wait for server connections while the processor isn't the limit.
func waiting(r Report, s Strategy) string {
	peak, size := s.Summary.ServerConnections, r.Settings.PoolSize
	if s.Name != "carpool" || peak == nil || size <= 0 || *peak < size || r.Settings.Clients <= size || r.Settings.ThinkSeconds > 0 {
		return ""
	}
	for _, sweep := range r.Sweeps {
		if sweep.Setting == "pool" && sweep.Knee > 0 && sweep.Knee <= size {
			return ""
		}
	}
	return fmt.Sprintf("All %d server connections of the pool were in use by %s, and the processor wasn't the limit: a larger pool may bring more, which --sweep pool=... would tell",
		size, plural(int64(r.Settings.Clients), "client"))
}
