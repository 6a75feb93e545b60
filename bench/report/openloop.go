package report

import "fmt"

// late is the share of the calls that came too late to begin, of those whose time came while a rate set the pace.
func (s Summary) late() float64 {
	due := s.Due
	if due == 0 {
		due = s.Calls + s.ErrorCount() + s.WrongCount() + s.Unstarted
	}
	if due <= 0 {
		return 0
	}
	return min(1, float64(s.Unstarted)/float64(due))
}

// keepsUp is whether hardly any call came too late to begin.
func (s Summary) keepsUp() bool { return s.late() <= lateCallShare }

// keepingUp tells which strategies keep up with the rate.
func keepingUp(r Report) []string {
	var kept, others, shares []string
	for _, s := range ran(r.Strategies) {
		switch name := printable(s.Name); {
		case !s.Summary.tells() && s.Summary.keepsUp():
		case s.Summary.keepsUp():
			kept = append(kept, name)
		default:
			others = append(others, name)
			shares = append(shares, percent(s.Summary.late()))
		}
	}
	asked := rate(r.Settings.Rate)
	switch {
	case len(others) == 0 && len(kept) == 0:
		return nil
	case len(others) == 0:
		return []string{fmt.Sprintf("%s kept up with %s", list(kept), asked)}
	case len(kept) == 0:
		return []string{fmt.Sprintf("Nothing kept up with %s: %s of the calls of %s came too late to begin", asked, list(shares), list(others))}
	}
	return []string{fmt.Sprintf("%s kept up with %s; %s didn't: %s of %s calls came too late to begin", list(kept), asked, list(others), list(shares), its(others))}
}

// its is the word for what belongs to names.
func its(names []string) string {
	if len(names) == 1 {
		return "its"
	}
	return "their"
}

// lateDoubts tells of strategies that a rate was too much for: their latency is that of a queue that grows.
func lateDoubts(r Report) []string {
	if r.Settings.Rate <= 0 {
		return nil
	}
	var names, shares []string
	for _, s := range ran(r.Strategies) {
		if !s.Summary.keepsUp() {
			names = append(names, printable(s.Name))
			shares = append(shares, percent(s.Summary.late()))
		}
	}
	if len(names) == 0 {
		return nil
	}
	return []string{fmt.Sprintf("%s didn't reach the rate of %s: %s of %s calls came too late to begin, and those that did begin waited in a queue that grows",
		list(names), rate(r.Settings.Rate), list(shares), its(names))}
}
