package report

import (
	"strings"
	"testing"
)

// with fills in what advice looks at besides the calls.
func (s Strategy) with(connections int, client, pooler, server float64) Strategy {
	for i := range s.Rounds {
		s.Rounds[i].ServerConnections = &connections
		s.Rounds[i].ClientCPUSeconds, s.Rounds[i].PoolerCPUSeconds, s.Rounds[i].ServerCPUSeconds = &client, &pooler, &server
	}
	return s
}

func TestAdvice(t *testing.T) {
	for _, test := range []struct {
		name   string
		report func() Report
		want   []string // in some sentence
		never  []string // in any
	}{
		{"connecting costs", func() Report {
			return finished(strategy("none", 100, 101, 102, 103), strategy("direct", 1000, 1001, 1002, 1003))
		}, []string{"Connecting costs about 8.", "9.9x as many calls"}, []string{"carpool"}},
		{"connecting to carpool pays", func() Report {
			return finished(strategy("none", 100, 101, 102, 103), strategy("carpool-connect", 800, 801, 802, 803))
		}, []string{"makes 7.9x as many calls when its connection string points at carpool"}, nil},
		{"connecting to carpool doesn't pay", func() Report {
			return finished(strategy("none", 100, 101, 102, 103), strategy("carpool-connect", 99, 100, 101, 104))
		}, nil, []string{"carpool"}},
		{"not certain, so not said", func() Report {
			return finished(strategy("none", 100, 300, 100, 300), strategy("carpool-connect", 100, 310, 290, 305))
		}, nil, []string{"connection string"}},
		{"a single process needs no pooler", func() Report {
			r := finished(strategy("driver-pool", 1000, 1001, 1002, 1003), strategy("carpool", 700, 701, 702, 703))
			r.Settings.Processes = 1
			Finish(&r)
			return r
		}, []string{"In a single process the driver's own pool is enough", "30 % fewer calls"}, []string{"each further process"}},
		{"pools multiply", func() Report {
			r := finished(strategy("driver-pool", 1000, 1001).with(16, 0, 0, 0), strategy("carpool", 990, 991).with(4, 0, 0, 0))
			r.Environment.MaxConnections = 20
			Finish(&r)
			return r
		}, []string{"4 processes with a pool of 4 may open 16 connections, and each further process 4 more; that is 80 % of the 20", "Through carpool they used 4 connections together"}, nil},
		{"pools too large", func() Report {
			r := finished(strategy("driver-pool", 1000, 1001))
			r.Environment.MaxConnections = 10
			Finish(&r)
			return r
		}, []string{"the server takes 10, so such pools are too large"}, []string{"Through carpool"}},
		{"transaction mode", func() Report {
			return finished(strategy("carpool", 1000, 1001, 1002, 1003), strategy("carpool-session", 500, 501, 502, 503))
		}, []string{"Use transaction mode: it makes 2.0x"}, []string{"more hop"}},
		{"session mode is faster", func() Report {
			return finished(strategy("carpool", 500, 501, 502, 503), strategy("carpool-session", 1000, 1001, 1002, 1003))
		}, []string{"Session mode makes 2.0x"}, []string{"Use transaction mode"}},
		{"the hop", func() Report {
			return finished(strategy("direct", 1000, 1001, 1002, 1003).with(8, 0, 0, 0), strategy("carpool", 700, 701, 702, 703).with(4, 0, 0, 0))
		}, []string{"30 % fewer calls a second than on connections kept straight to Postgres", "4 server connections instead of 8"}, nil},
		{"a race that shows", func() Report {
			s := strategy("global-unsafe", 700, 701)
			s.Rounds[0].WrongAnswers, s.Rounds[1].Errors = 99, map[string]int64{"connection": 1}
			return finished(s)
		}, []string{"Never share one connection without a lock: of 1,501 calls, 99 got a wrong answer and 1 failed"}, nil},
		{"a race that doesn't", func() Report { return finished(strategy("global-unsafe", 700, 701)) }, []string{"which is luck"}, []string{"got a wrong answer"}},
		{"no connections left", func() Report {
			s := strategy("direct", 700, 701)
			s.Rounds[0].Errors = map[string]int64{"53300": 12}
			return finished(s)
		}, []string{"direct ran out of connections: 12 calls were refused with SQLSTATE 53300"}, nil},
		{"the processor", func() Report {
			r := finished(strategy("carpool", 700, 701).with(4, 0.5, 0.2, 1.2))
			r.Environment.Cores, r.Environment.Private = 2, true
			Finish(&r)
			return r
		}, []string{"the processor: 1.90 of 2 cores were in use, 1.20 by Postgres, 0.50 by the clients and 0.20 by the pooler; with the database on a machine of its own"}, []string{"larger pool"}},
		{"the pool", func() Report {
			r := finished(strategy("carpool", 700, 701).with(4, 0.1, 0.1, 0.1))
			r.Environment.Cores = 8
			Finish(&r)
			return r
		}, []string{"All 4 server connections of the pool were in use by 8 clients", "--sweep pool"}, []string{"the processor:"}},
		{"a rate out of reach", func() Report {
			r := finished(strategy("carpool", 700, 701))
			r.Settings.Rate, r.Strategies[0].Rounds[0].Unstarted = 1000, 300
			Finish(&r)
			return r
		}, []string{"carpool can't keep up with 1,000/s here: it made 701/s"}, nil},
		{"sweeps", func() Report { return fixture(1, 1) }, []string{"A pool of 4 is enough"}, []string{"larger pool may"}},
		{"a sweep that still rises", func() Report {
			r := finished(strategy("carpool", 700, 701))
			sweep := Sweep{Setting: "pool"}
			for i := range 4 {
				sweep.Points = append(sweep.Points, Point{Value: 1 << i, Strategies: []Strategy{strategy("carpool", 100<<i, 100<<i)}})
			}
			r.Sweeps = []Sweep{sweep}
			Finish(&r)
			return r
		}, []string{"still rise at a pool of 8, the largest that was tried"}, []string{"is enough"}},
		{"nothing", func() Report { return finished() }, nil, []string{""}},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := strings.Join(test.report().Advice, "\n")
			for _, want := range test.want {
				if !strings.Contains(got, want) {
					t.Errorf("the advice is\n%s\nand lacks %q", got, want)
				}
			}
			for _, never := range test.never {
				if never == "" && got != "" || never != "" && strings.Contains(got, never) {
					t.Errorf("the advice is\n%s\nand has %q", got, never)
				}
			}
		})
	}
}
