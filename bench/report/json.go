package report

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
)

// reportLimit bounds what ReadJSON reads. A report of 15 strategies in 100 rounds has some 30 MB.
const reportLimit = 256 << 20

// WriteJSON writes r, whose Schema it sets, in the form that docs/benchmark-report.md describes.
func WriteJSON(w io.Writer, r Report) error {
	r.Schema = SchemaVersion
	r = withoutNull(r)
	data, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return fmt.Errorf("encode the report: %w", err)
	}
	_, err = w.Write(append(joinPairs(data), '\n'))
	return err
}

// withoutNull is a copy of r in which arrays and objects that have nothing in them are empty instead of null, which a reader
// may take for "not measured".
func withoutNull(r Report) Report {
	r.Strategies = strategiesWithoutNull(r.Strategies)
	r.Advice = append([]string{}, r.Advice...)
	r.Warnings = append([]string{}, r.Warnings...)
	sweeps := append([]Sweep{}, r.Sweeps...)
	for i, sweep := range sweeps {
		points := append([]Point{}, sweep.Points...)
		for j, point := range points {
			points[j].Strategies = strategiesWithoutNull(point.Strategies)
		}
		sweeps[i].Points = points
	}
	r.Sweeps = sweeps
	if r.Environment.Poolers == nil {
		r.Environment.Poolers = map[string]string{}
	}
	if r.Environment.ServerSettings == nil {
		r.Environment.ServerSettings = map[string]string{}
	}
	return r
}

func strategiesWithoutNull(strategies []Strategy) []Strategy {
	strategies = append([]Strategy{}, strategies...)
	for i, s := range strategies {
		rounds := append([]Round{}, s.Rounds...)
		for j, round := range rounds {
			rounds[j].Latency = append([]Bucket{}, round.Latency...)
			rounds[j].Samples = append([]Sample{}, round.Samples...)
			if round.Errors == nil {
				rounds[j].Errors = map[string]int64{}
			}
		}
		strategies[i].Rounds = rounds
	}
	return strategies
}

// joinPairs puts what is inside the innermost arrays of numbers on one line: latencies would take four lines each.
func joinPairs(data []byte) []byte {
	out := make([]byte, 0, len(data))
	inString := false
	for i := 0; i < len(data); i++ {
		c := data[i]
		switch {
		case inString && c == '\\':
			out = append(out, c, data[i+1])
			i++
			continue
		case c == '"':
			inString = !inString
		case c == '[' && !inString:
			if end, ok := numbersEnd(data[i+1:]); ok {
				for _, b := range data[i : i+1+end] {
					if b != ' ' && b != '\n' {
						out = append(out, b)
					}
				}
				i += end
				continue
			}
		}
		out = append(out, c)
	}
	return out
}

// numbersEnd is the index of the bracket that ends an array that has only numbers.
func numbersEnd(data []byte) (int, bool) {
	for i, c := range data {
		switch {
		case c == ']':
			return i, true
		case c == ' ', c == '\n', c == ',', c == '-', c == '+', c == '.', c == 'e', c >= '0' && c <= '9':
		default:
			return 0, false
		}
	}
	return 0, false
}

// ReadJSON reads what WriteJSON has written, of this version of the schema or an older one, and finishes it, so that what
// is computed fits the rounds.
func ReadJSON(r io.Reader) (Report, error) {
	data, err := io.ReadAll(io.LimitReader(r, reportLimit+1))
	if err != nil {
		return Report{}, fmt.Errorf("read the report: %w", err)
	}
	if len(data) > reportLimit {
		return Report{}, fmt.Errorf("the report has more than %d MB", reportLimit>>20)
	}
	var version struct {
		Schema     *int             `json:"schema"`
		Strategies *json.RawMessage `json:"strategies"`
	}
	if err := json.Unmarshal(data, &version); err != nil {
		return Report{}, fmt.Errorf("this isn't a report of carpool bench: %w", err)
	}
	switch {
	case version.Schema == nil || version.Strategies == nil || *version.Schema < 1:
		return Report{}, errors.New("this isn't a report of carpool bench: it has no schema version and strategies")
	case *version.Schema > SchemaVersion:
		return Report{}, fmt.Errorf("the report has schema version %d, and this carpool knows those up to %d: a newer carpool wrote it and can read it",
			*version.Schema, SchemaVersion)
	}
	var report Report
	if err := json.Unmarshal(data, &report); err != nil {
		return Report{}, fmt.Errorf("read the report: %w", err)
	}
	if err := report.validate(); err != nil {
		return Report{}, fmt.Errorf("read the report: %w", err)
	}
	Finish(&report)
	return report, nil
}

// validate refuses numbers that no benchmark can have measured.
func (r Report) validate() error {
	if err := validateStrategies(r.Strategies); err != nil {
		return err
	}
	for _, sweep := range r.Sweeps {
		seen := make(map[int]bool)
		for _, point := range sweep.Points {
			if point.Value < 1 || point.Clients < 0 || point.PoolSize < 0 || seen[point.Value] {
				return fmt.Errorf("sweep %q has a second point, or an impossible one, at %d", sweep.Setting, point.Value)
			}
			seen[point.Value] = true
			if err := validateStrategies(point.Strategies); err != nil {
				return fmt.Errorf("sweep %q at %d: %w", sweep.Setting, point.Value, err)
			}
		}
	}
	return nil
}

func validateStrategies(strategies []Strategy) error {
	seen := make(map[string]bool)
	for _, s := range strategies {
		if s.Name == "" || seen[s.Name] {
			return fmt.Errorf("strategy %q has no name of its own", s.Name)
		}
		seen[s.Name] = true
		for i, round := range s.Rounds {
			if err := round.validate(); err != nil {
				return fmt.Errorf("strategy %q, round %d: %w", s.Name, i+1, err)
			}
		}
	}
	return nil
}

// maxSeconds bounds every time of a round, in seconds: ten years.
const maxSeconds = 10 * 366 * 24 * 3600

// maxCount bounds every count, so that sums over all rounds don't overflow.
const maxCount = 1 << 50

func (r Round) validate() error {
	if !within(r.ElapsedSeconds, maxSeconds) {
		return fmt.Errorf("it took %v seconds", r.ElapsedSeconds)
	}
	counts := []int64{r.Calls, r.WrongAnswers, r.MixedTransactions, r.ProtocolErrors, r.Unstarted, r.Due, int64(r.IdleConnections)}
	for _, n := range r.Errors {
		counts = append(counts, n)
	}
	if r.PoolerBytes != nil {
		counts = append(counts, *r.PoolerBytes)
	}
	if r.ServerConnections != nil {
		counts = append(counts, int64(*r.ServerConnections))
	}
	for _, n := range counts {
		if n < 0 || n > maxCount {
			return fmt.Errorf("it counted %d", n)
		}
	}
	for _, seconds := range []*float64{r.ClientCPUSeconds, r.PoolerCPUSeconds, r.ServerCPUSeconds} {
		if seconds != nil && !within(*seconds, maxSeconds) {
			return fmt.Errorf("it took %v seconds of CPU", *seconds)
		}
	}
	for _, bucket := range r.Latency {
		if !within(bucket[0], maxSeconds) || !within(bucket[1], maxCount) {
			return fmt.Errorf("%v calls took %v seconds", bucket[1], bucket[0])
		}
	}
	for _, s := range r.Samples {
		if !within(s.AtSeconds, maxSeconds) || s.ServerConnections < 0 || s.ServerConnections > maxCount {
			return fmt.Errorf("it sampled %d connections at %v seconds", s.ServerConnections, s.AtSeconds)
		}
	}
	return nil
}

// within is false for a NaN too.
func within(v, limit float64) bool { return v >= 0 && v <= limit && !math.IsInf(v, 0) }
