package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// sweepTitle is the heading of a sweep's table.
func sweepTitle(s Sweep) string {
	title := s.title()
	if shows := s.shows(); shows != "" {
		title += " (" + shows + ")"
	}
	return title
}

// title is what was swept, and at what size of the rest.
func (s Sweep) title() string {
	title := "Calls a second by " + printable(s.Setting)
	switch s.Setting {
	case "clients":
		title = "Calls a second by the number of clients"
		if size := s.same(func(p Point) int { return p.PoolSize }); size > 0 {
			title += ", with pools of " + count(size)
		}
	case "pool":
		title = "Calls a second by the size of the pool"
		if clients := s.same(func(p Point) int { return p.Clients }); clients > 0 {
			title += ", with " + plural(clients, "client")
		}
	}
	return title
}

// same is a number that all points have, 0 when they differ or don't know it.
func (s Sweep) same(number func(Point) int) int64 {
	for _, point := range s.Points {
		if number(point) != number(s.Points[0]) {
			return 0
		}
	}
	if len(s.Points) == 0 {
		return 0
	}
	return int64(number(s.Points[0]))
}

// clients is how many there were at a point of the sweep, 0 when it isn't known.
func (p Point) clients(s Sweep) int {
	if p.Clients == 0 && s.Setting == "clients" {
		return p.Value
	}
	return p.Clients
}

// shows is what the sweep shows of its subject, in half a sentence; empty when nothing.
func (s Sweep) shows() string {
	if s.Knee == 0 {
		return ""
	}
	knee, name := count(int64(s.Knee)), printable(s.subject())
	switch best, _, falls := s.fall(); {
	case falls && best.Value == s.Knee:
		return fmt.Sprintf("beyond %s %s gets slower", knee, name)
	case falls:
		return fmt.Sprintf("%s is enough for %s; beyond %s it gets slower", knee, name, count(int64(best.Value)))
	}
	return fmt.Sprintf("beyond %s, more brings %s little", knee, name)
}

// mark is the same for the place in a plot where the knee is.
func (s Sweep) mark() string {
	knee, name := count(int64(s.Knee)), printable(s.subject())
	if best, _, falls := s.fall(); falls && best.Value == s.Knee {
		return fmt.Sprintf("%s beyond %s: slower", name, knee)
	}
	return fmt.Sprintf("%s beyond %s: hardly more", name, knee)
}

// fall is the best and the last point of the subject, and whether the rounds show that it falls off between the two.
func (s Sweep) fall() (best, last At, falls bool) {
	name := s.subject()
	rates := s.rates(name)
	if len(rates) < kneePoints {
		return At{}, At{}, false
	}
	best = slices.MaxFunc(rates, func(a, b At) int { return cmp.Compare(a.Rate, b.Rate) })
	last = rates[len(rates)-1]
	if last.Rate >= best.Rate*(1-kneeTolerance) {
		return best, last, false
	}
	return best, last, distinct(s.at(best.Value, name), s.at(last.Value, name))
}

// rises is whether the rounds show that the subject makes more calls at the last value than at the one before.
func (s Sweep) rises() bool {
	name := s.subject()
	rates := s.rates(name)
	if len(rates) < 2 {
		return false
	}
	before, last := rates[len(rates)-2], rates[len(rates)-1]
	return last.Rate > before.Rate && distinct(s.at(before.Value, name), s.at(last.Value, name))
}

// at is the strategy of that name at a value which has it.
func (s Sweep) at(value int, name string) Strategy {
	for _, point := range s.Points {
		if strategy := telling(point.Strategies, name); point.Value == value && strategy != nil {
			return *strategy
		}
	}
	return Strategy{Name: name}
}

// sweeps tells what the sweeps show.
func sweeps(r Report) []string {
	var told []string
	for _, sweep := range r.Sweeps {
		if len(sweep.rates(sweep.subject())) < kneePoints {
			continue
		}
		switch sweep.Setting {
		case "pool":
			told = append(told, sweep.poolAdvice())
		case "clients":
			told = append(told, sweep.clientAdvice())
		}
	}
	return told
}

func (s Sweep) poolAdvice() string {
	name := printable(s.subject())
	best, last, falls := s.fall()
	if s.Knee == 0 && !s.rises() {
		return fmt.Sprintf("The rounds of the sweep vary too much to tell which size of the pool is enough for %s", name)
	}
	if s.Knee == 0 {
		return fmt.Sprintf("The calls a second of %s still rise at a pool of %s, the largest that was tried: sweep further before choosing one", name, count(int64(last.Value)))
	}
	text := fmt.Sprintf("A pool of %s is enough", count(int64(s.Knee)))
	if clients := s.same(func(p Point) int { return p.Clients }); clients > 0 {
		text += " for " + plural(clients, "client")
	}
	if best.Value == s.Knee {
		text += fmt.Sprintf(": %s makes %s with it", name, rate(best.Rate))
	} else {
		text += fmt.Sprintf(": it is the smallest that comes within %s of the best of %s, %s at %s", percent(kneeTolerance), name, rate(best.Rate), count(int64(best.Value)))
	}
	if falls {
		text += fmt.Sprintf("; beyond %s it gets slower: %s at %s", count(int64(best.Value)), rate(last.Rate), count(int64(last.Value)))
	}
	return text
}

func (s Sweep) clientAdvice() string {
	name := printable(s.subject())
	best, last, falls := s.fall()
	if s.Knee == 0 && !s.rises() {
		return fmt.Sprintf("The rounds of the sweep vary too much to tell how many clients get the most done with %s", name)
	}
	if s.Knee == 0 {
		return fmt.Sprintf("%s still gets more done with %s, the most that were tried, than with fewer", name, plural(int64(last.Value), "client"))
	}
	text := fmt.Sprintf("%s with %s reaches within %s of its best rate: more clients wait longer and get hardly more done",
		name, plural(int64(s.Knee), "client"), percent(kneeTolerance))
	if falls {
		text += fmt.Sprintf(", and beyond %s less: %s at %s", count(int64(best.Value)), rate(last.Rate), count(int64(last.Value)))
	}
	return text
}

// names are the strategies that ran at any point, in the order of their first appearance.
func (s Sweep) names() []string {
	var names []string
	for _, point := range s.Points {
		for _, strategy := range ran(point.Strategies) {
			if !slices.Contains(names, strategy.Name) {
				names = append(names, strategy.Name)
			}
		}
	}
	return names
}

// named is the strategy of that name, as it is at the first point that has it.
func (s Sweep) named(name string) Strategy {
	for _, point := range s.Points {
		for _, strategy := range point.Strategies {
			if strategy.Name == name {
				return strategy
			}
		}
	}
	return Strategy{Name: name}
}

// sweepGrid has a row for each strategy and a column for each value.
func sweepGrid(s Sweep) grid {
	g := grid{heads: []string{strings.ToLower(printable(s.Setting)) + ":"}}
	for _, point := range s.Points {
		g.heads = append(g.heads, count(int64(point.Value)))
	}
	for _, name := range s.names() {
		row := []string{s.named(name).label()}
		for _, point := range s.Points {
			cell := missing
			if summary := find(point.Strategies, name); summary != nil {
				cell = amount(summary.CallsPerSecond.Median)
			}
			row = append(row, cell)
		}
		g.rows = append(g.rows, row)
	}
	return g
}

// gaps are the sentences about what the sweeps lack.
func gaps(sweeps []Sweep) []string {
	var told []string
	for _, sweep := range sweeps {
		for _, point := range sweep.Points {
			for _, s := range point.Strategies {
				why := reasons(s.Failures)
				if s.Skipped != "" {
					why = printable(s.Skipped)
				}
				if why != "" && len(s.Rounds) == 0 {
					told = append(told, fmt.Sprintf("%s wasn't measured at %s=%s: %s", printable(s.Name), printable(sweep.Setting), whole(int64(point.Value)), why))
				}
			}
		}
	}
	return told
}
