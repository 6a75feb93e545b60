package report

import (
	"fmt"
	"slices"
	"strings"
)

// sweepTitle is the heading of a sweep's table.
func sweepTitle(s Sweep) string {
	title := "Calls a second by the number of clients"
	switch s.Setting {
	case "clients":
	case "pool":
		title = "Calls a second by the size of the pool"
	default:
		title = "Calls a second by " + printable(s.Setting)
	}
	if s.Knee > 0 {
		title += fmt.Sprintf(" (beyond %s, more brings %s little)", count(int64(s.Knee)), printable(s.subject()))
	}
	return title
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
