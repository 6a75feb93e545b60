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
	if r.Settings.Rate > 0 && s.Summary.keepsUp() {
		return told // it ran into nothing
	}
	used, known := r.cores(*s)
	have := float64(r.Environment.Cores)
	if known && used.total() >= busy*have {
		return append(told, processor(r, *s, used))
	}
	return append(told, waiting(r, *s, known && r.quiet())...)
}

// refusals tells of strategies whose connections Postgres, or a pooler, didn't take.
func refusals(r Report) []string {
	var told []string
	for _, s := range ran(r.Strategies) {
		if n := s.Summary.Errors["53300"]; n > 0 {
			text := fmt.Sprintf("%s ran out of connections: %s refused with SQLSTATE 53300; it needs fewer clients or smaller pools",
				printable(s.Name), wasOrWere(n, "call"))
			if !r.Environment.Pooled && s.direct() {
				text += ", or a pooler before the server"
			}
			told = append(told, text)
		}
	}
	return told
}

// quiet is whether nothing else used the machine before the start, as far as is known: on a busy one the processor may be the
// limit even though the benchmark had little of it.
func (r Report) quiet() bool {
	return r.Environment.LoadAverage <= busyPerCore*float64(r.Environment.Cores)
}

// wasOrWere is n of a noun with the verb that goes with it.
func wasOrWere(n int64, noun string) string {
	if n == 1 {
		return plural(n, noun) + " was"
	}
	return plural(n, noun) + " were"
}

// cores are how many processors clients, pooler and Postgres had in use, on average over the rounds.
type cores struct{ clients, pooler, server float64 }

func (c cores) total() float64 { return c.clients + c.pooler + c.server }

// direct is whether nothing is between the strategy's clients and the server. Of one that isn't known it isn't assumed.
func (s Strategy) direct() bool {
	switch s.Name {
	case "none", "global", "global-unsafe", "driver-pool", "direct", "pgbench",
		"python-psycopg2-none", "python-psycopg2-global", "python-psycopg2-global-unsafe", "python-psycopg2-pool", "python-sqlalchemy-pool":
		return true
	}
	return false
}

// cores are those that s had in use. They aren't known when any part of any round isn't, such as that of a server elsewhere, or
// when their sum is more than there are.
func (r Report) cores(s Strategy) (cores, bool) {
	var used cores
	elapsed := 0.0
	for _, round := range s.Rounds {
		client, pooler, server := round.ClientCPUSeconds, round.PoolerCPUSeconds, round.ServerCPUSeconds
		if client == nil || server == nil || pooler == nil && !s.direct() {
			return cores{}, false
		}
		elapsed += round.ElapsedSeconds
		used.clients += *client
		used.server += *server
		if pooler != nil {
			used.pooler += *pooler
		}
	}
	have := float64(r.Environment.Cores)
	if elapsed <= 0 || have <= 0 || r.Environment.Pooled {
		return cores{}, false
	}
	used.clients /= elapsed
	used.pooler /= elapsed
	used.server /= elapsed
	return used, used.total() <= impossible*have
}

// share is how many cores somebody had in use.
type share struct {
	name string
	n    float64
}

// processor tells that the processor is the limit, and whose work it is.
func processor(r Report, s Strategy, used cores) string {
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

// waiting tells that clients wait for server connections. That the processor isn't the limit is told only when it is known.
func waiting(r Report, s Strategy, processorKnown bool) []string {
	size, clients := int64(r.Settings.PoolSize), int64(r.Settings.Clients)
	peak, ok := r.peak(&s)
	if s.Name != "carpool" || !ok || size <= 0 || peak < size || clients <= size || r.Settings.ThinkSeconds > 0 {
		return nil
	}
	for _, sweep := range r.Sweeps {
		if sweep.Setting == "pool" && len(sweep.rates(s.Name)) >= kneePoints {
			return nil // it tells more
		}
	}
	text := fmt.Sprintf("All %s server connections of the pool were in use by %s", count(size), plural(clients, "client"))
	if size == 1 {
		text = "The only server connection of the pool was in use by " + plural(clients, "client")
	}
	if processorKnown {
		text += ", and the processor wasn't the limit"
	}
	return []string{text + ": a larger pool may bring more, which --sweep pool=... would tell"}
}
