package report

import "fmt"

// What advice is given from.
const (
	worthSaying = 1.1 // a factor below this isn't worth a sentence
	plain       = 2.0 // a factor that a single round shows as well
	busy        = 0.9 // share of the cores in use that makes the processor the limit
	impossible  = 1.1 // share of the cores in use above which the measurement is wrong
	poolsCrowd  = 0.5 // share of the server's connections that the pools of one program may take
	withinReach = 0.9 // share of the fastest's rate that is as good
)

// tellingCalls is how many calls a strategy must have made before something is concluded from them.
const tellingCalls = 100

// Advise tells what r, which Finish or ReadJSON has finished, means for the reader: in sentences, and only what its numbers
// show.
func Advise(r Report) []string {
	parts := []func(Report) []string{connecting, unguarded, processes, mode, sweeps, hop, limits}
	if r.Settings.Rate > 0 {
		// Who keeps up makes as many calls as the rate asks for, so calls a second don't compare strategies.
		parts = []func(Report) []string{keepingUp, unguarded, processes, limits}
	}
	var advice []string
	for _, part := range parts {
		advice = append(advice, part(r)...)
	}
	return advice
}

// strategy is the one of that name, nil when it didn't run or made too few calls to tell anything.
func (r Report) strategy(name string) *Strategy { return telling(r.Strategies, name) }

func telling(strategies []Strategy, name string) *Strategy {
	for _, s := range strategies {
		if s.Name == name && s.Summary.tells() {
			return &s
		}
	}
	return nil
}

// tells is whether something may be concluded from s, which may be nil.
func (s *Summary) tells() bool { return s != nil && s.Calls >= tellingCalls }

// firstOf is the first strategy of names that tells something.
func (r Report) firstOf(names ...string) *Strategy {
	for _, name := range names {
		if s := r.strategy(name); s != nil {
			return s
		}
	}
	return nil
}

// faster is whether the rounds show that a makes more calls than b, and how many times as many.
func faster(a, b *Strategy) (float64, bool) {
	if a == nil || b == nil || b.Summary.CallsPerSecond.Median <= 0 {
		return 0, false
	}
	ratio := a.Summary.CallsPerSecond.Median / b.Summary.CallsPerSecond.Median
	if min(len(a.Rounds), len(b.Rounds)) == 1 {
		return ratio, ratio >= plain
	}
	return ratio, ratio >= worthSaying && distinct(*a, *b)
}

// connecting tells what it costs to connect for each call, and what to do about it.
func connecting(r Report) []string {
	var told []string
	none := r.strategy("none")
	kept := r.firstOf("direct", "driver-pool", "global")
	if ratio, ok := faster(kept, none); ok {
		told = append(told, connectTime(r, none, kept, ratio)...)
		told = append(told, connectCPU(r, none, kept)...)
	}
	if ratio, ok := faster(r.strategy("carpool-connect"), none); ok {
		told = append(told, fmt.Sprintf("A program that connects for each call and can't be changed makes %s as many calls when its connection string points at carpool", factor(ratio)))
	}
	if ratio, ok := faster(r.strategy("carpool"), r.strategy("carpool-connect")); ok {
		told = append(told, fmt.Sprintf("Keeping the connections to carpool open brings another %s over connecting to it for each call", factor(ratio)))
	}
	return told
}

// connectTime tells how long connecting takes. With many clients at a time most of it is waiting for each other, so what a
// single connection takes is known only from a client that was alone.
func connectTime(r Report, none, kept *Strategy, ratio float64) []string {
	with, without := none.Summary.Latency.P50, kept.Summary.Latency.P50
	if with <= without {
		return nil
	}
	takes := fmt.Sprintf("the median call takes %s when each call connects, and %s on a connection that is open already, which makes %s as many calls a second possible",
		latency(with), latency(without), factor(ratio))
	if r.Settings.Clients == 1 {
		return []string{fmt.Sprintf("Connecting takes %s a call: %s", latency(with-without), takes)}
	}
	together := fmt.Sprintf("ith %s at a time %s", plural(int64(r.Settings.Clients), "client"), takes)
	if alone := connectAlone(r); alone > 0 {
		return []string{fmt.Sprintf("Alone, a client connects in %s; w%s", latency(alone), together)}
	}
	return []string{"W" + together}
}

// connectAlone is how much longer a call takes that connects when nobody else calls, in seconds; 0 when no sweep knows.
func connectAlone(r Report) float64 {
	for _, sweep := range r.Sweeps {
		for _, point := range sweep.Points {
			if point.clients(sweep) != 1 {
				continue
			}
			none := telling(point.Strategies, "none")
			for _, name := range []string{"direct", "driver-pool", "global"} {
				if kept := telling(point.Strategies, name); none != nil && kept != nil {
					return max(0, none.Summary.Latency.P50-kept.Summary.Latency.P50)
				}
			}
		}
	}
	return 0
}

// connectCPU tells what connecting takes of the server's processor. Of a server behind a pooler it isn't known whose
// connections it serves.
func connectCPU(r Report, none, kept *Strategy) []string {
	with, without := none.Summary.ServerCPU, kept.Summary.ServerCPU
	if r.Environment.Pooled || with == nil || without == nil || *with/plain < *without {
		return nil
	}
	return []string{fmt.Sprintf("Connecting takes Postgres %s CPU seconds for 10,000 calls, which take %s without it", amount(*with-*without), amount(*without))}
}

// unguarded tells of the connection that all share without a lock.
func unguarded(r Report) []string {
	s := find(r.Strategies, "global-unsafe")
	if s == nil {
		return nil
	}
	wrong, failed := s.WrongCount(), s.ErrorCount()
	all := s.Calls + wrong + failed
	switch {
	case wrong > 0:
		return []string{fmt.Sprintf("Never share one connection without a lock: of %s, %s got a wrong answer and %s failed (%s of all)",
			plural(all, "call"), count(wrong), count(failed), percent(float64(wrong+failed)/float64(all)))}
	case r.Settings.Clients <= max(1, r.Settings.Processes):
		return []string{"With one client in each process nobody shared the connection of global-unsafe, so nothing could go wrong; with two it can"}
	case failed == 0 && s.tells():
		return []string{"One connection without a lock showed no wrong answer this time, which is luck: nothing keeps two callers from mixing their queries"}
	}
	return nil
}
