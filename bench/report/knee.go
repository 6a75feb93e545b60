package report

// kneeTolerance is how much of the best rate a reader gives up for a smaller value: what differs less isn't worth it.
const kneeTolerance = 0.05

// kneePoints is how many points a sweep must have before it has a knee.
const kneePoints = 3

// At is a rate of calls at one value of a setting.
type At struct {
	Value int
	Rate  float64 // calls a second
}

// Knee is the smallest value whose rate is within 5 % of the best one: beyond it more brings little. There is none when
// there are fewer than three points, when nothing ran, or when it would be the largest value: then the rate still rises.
// Points are by rising value.
func Knee(points []At) (int, bool) {
	if len(points) < kneePoints {
		return 0, false
	}
	best := 0.0
	for _, p := range points {
		best = max(best, p.Rate)
	}
	if best <= 0 {
		return 0, false
	}
	for _, p := range points[:len(points)-1] {
		if p.Rate >= best*(1-kneeTolerance) {
			return p.Value, true
		}
	}
	return 0, false
}

// sweepKnee is the knee of the strategy that the sweep is about.
func sweepKnee(s Sweep) (int, bool) { return Knee(s.rates(s.subject())) }

// subject is the strategy whose setting is swept: carpool when it is there, otherwise the first that ran.
func (s Sweep) subject() string {
	first := ""
	for _, point := range s.Points {
		for _, strategy := range ran(point.Strategies) {
			if strategy.Name == "carpool" {
				return strategy.Name
			}
			if first == "" {
				first = strategy.Name
			}
		}
	}
	return first
}

// rates are the medians of one strategy, where it ran and made enough calls to tell something.
func (s Sweep) rates(name string) []At {
	var points []At
	for _, point := range s.Points {
		if summary := find(point.Strategies, name); summary.tells() {
			points = append(points, At{Value: point.Value, Rate: summary.CallsPerSecond.Median})
		}
	}
	return points
}
