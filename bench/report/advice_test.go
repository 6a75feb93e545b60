package report

import (
	"strings"
	"testing"
)

// changed is a report of strategies of which something is changed before it is finished.
func changed(change func(*Report), strategies ...Strategy) Report {
	r := unfinished(strategies...)
	change(&r)
	Finish(&r)
	return r
}

// with fills in what advice looks at besides the calls.
func (s Strategy) with(connections int, client, pooler, server float64) Strategy {
	for i := range s.Rounds {
		s.Rounds[i].ServerConnections = &connections
		s.Rounds[i].Samples = []Sample{{0.1, connections}, {0.2, connections}}
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
		}, []string{"With 8 clients at a time the median call takes 9.", "when each call connects, and 1.00 ms on a connection that is open already, which makes 9.9x as many calls a second possible"}, []string{"carpool", "alone", "CPU"}},
		{"connecting costs a client alone", func() Report {
			return changed(func(r *Report) { r.Settings.Clients, r.Settings.Processes = 1, 1 }, strategy("none", 100, 101, 102, 103), strategy("direct", 1000, 1001, 1002, 1003))
		}, []string{"Connecting takes 8.", "a call: the median call takes 9."}, []string{"1 clients", "at a time"}},
		{"connecting, alone and at a time", func() Report {
			return changed(func(r *Report) {
				r.Sweeps = []Sweep{{Setting: "clients", Points: []Point{{Value: 1, Clients: 1, Strategies: []Strategy{strategy("none", 250), strategy("driver-pool", 2000)}}}}}
			}, strategy("none", 100, 101, 102, 103).with(4, 1, 0, 0.5), strategy("direct", 1000, 1001, 1002, 1003).with(4, 1, 0, 0.05))
		}, []string{
			"Alone, a client connects in 3.50 ms; with 8 clients at a time the median call takes 9.",
			"Connecting takes Postgres 48.8 CPU seconds for 10,000 calls, which take 0.50 without it",
		}, nil},
		{"connecting to a pooler", func() Report {
			return changed(func(r *Report) { r.Environment.Pooled = true },
				strategy("none", 100, 101, 102, 103).with(4, 1, 0, 0.5), strategy("direct", 1000, 1001, 1002, 1003).with(4, 1, 0, 0.05),
				strategy("driver-pool", 1000, 1001, 1002, 1003).with(4, 1, 0, 0.05), strategy("carpool", 800, 801, 802, 803).with(2, 1, 1, 1))
		}, []string{"kept straight to the pooler at the URL"}, []string{"Postgres", "server connection", "They"}},
		{"connecting to carpool pays", func() Report {
			return finished(strategy("none", 100, 101, 102, 103), strategy("carpool-connect", 800, 801, 802, 803))
		}, []string{"makes 7.9x as many calls when its connection string points at carpool"}, nil},
		{"connecting to carpool doesn't pay", func() Report {
			return finished(strategy("none", 100, 101, 102, 103), strategy("carpool-connect", 99, 100, 101, 104))
		}, nil, []string{"carpool"}},
		{"not certain, so not said", func() Report {
			return finished(strategy("none", 100, 300, 100, 300), strategy("carpool-connect", 100, 310, 290, 305))
		}, nil, []string{"connection string"}},
		{"too few calls for anything", func() Report {
			return finished(strategy("none", 2, 3), strategy("carpool-connect", 20, 21), strategy("direct", 40, 41), strategy("global-unsafe", 40, 41),
				strategy("driver-pool", 40, 41).with(9, 0, 0, 0), strategy("carpool", 20, 21).with(3, 1, 1, 1), strategy("carpool-session", 40, 41))
		}, nil, []string{""}},
		{"a single process needs no pooler", func() Report {
			return changed(func(r *Report) { r.Settings.Processes = 1 }, strategy("driver-pool", 1000, 1001, 1002, 1003), strategy("carpool", 700, 701, 702, 703))
		}, []string{"In a single process the driver's own pool is enough", "30 % fewer calls"}, []string{"each further process"}},
		{"pools multiply", func() Report {
			return changed(func(r *Report) { r.Environment.MaxConnections = 20 },
				strategy("driver-pool", 1000, 1001).with(16, 0, 0, 0), strategy("carpool", 990, 991).with(4, 0, 0, 0))
		}, []string{"4 processes with a pool of 4 may open 16 connections, and each further process 4 more; that is 80 % of the 20", "Through carpool they used 4 connections together"}, nil},
		{"pools fit", func() Report {
			return changed(func(r *Report) { r.Environment.MaxConnections = 72 }, strategy("driver-pool", 1000, 1001))
		}, []string{"each further process 4 more; 18 processes reach the server's max_connections, 72"}, nil},
		{"pools on a private server", func() Report {
			return changed(func(r *Report) { r.Environment.MaxConnections, r.Environment.Private = 10, true }, strategy("driver-pool", 1000, 1001))
		}, []string{"each further process 4 more"}, []string{"the server takes", "too large"}},
		{"a peak of nothing", func() Report {
			return finished(strategy("driver-pool", 1000, 1001), strategy("carpool", 990, 991).with(0, 0, 0, 0))
		}, []string{"each further process"}, []string{"Through carpool they used", "0 connections"}},
		{"a peak of a single look", func() Report {
			carpool := strategy("carpool", 990, 991).with(3, 0, 0, 0)
			for i := range carpool.Rounds {
				carpool.Rounds[i].Samples = carpool.Rounds[i].Samples[:1]
			}
			return finished(strategy("driver-pool", 1000, 1001), carpool)
		}, []string{"each further process"}, []string{"Through carpool they used"}},
		{"pools too large", func() Report {
			return changed(func(r *Report) { r.Environment.MaxConnections = 10 }, strategy("driver-pool", 1000, 1001))
		}, []string{"the server takes 10, so such pools are too large"}, []string{"Through carpool"}},
		{"transaction mode", func() Report {
			return finished(strategy("carpool", 1000, 1001, 1002, 1003).with(1, 0, 0, 0), strategy("carpool-session", 500, 501, 502, 503).with(8, 0, 0, 0))
		}, []string{"Transaction mode makes 2.0x as many calls as session mode, and with fewer connections: session mode holds a server connection for each connected client (8 here), transaction mode held 1 for all"}, []string{"more hop", "wait", "1 server connections"}},
		{"session mode is faster", func() Report {
			return finished(strategy("carpool", 500, 501, 502, 503).with(4, 0, 0, 0), strategy("carpool-session", 1000, 1001, 1002, 1003).with(8, 0, 0, 0))
		}, []string{"Session mode makes 2.0x as many calls as transaction mode here, but holds a server connection for each connected client (8 here), busy or not; transaction mode held 4 for all"}, []string{"wait"}},
		{"modes of equal speed", func() Report {
			return finished(strategy("carpool", 1000, 1001, 1002, 1003), strategy("carpool-session", 1000, 1001, 1002, 1003))
		}, []string{"The rounds show no difference in speed between transaction and session mode; session mode holds a server connection for each connected client, busy or not"}, []string{"wait", "serves all"}},
		{"the hop", func() Report {
			return finished(strategy("direct", 1000, 1001, 1002, 1003).with(8, 0, 0, 0), strategy("carpool", 700, 701, 702, 703).with(1, 0, 0, 0))
		}, []string{"30 % fewer calls a second than on connections kept straight to Postgres", "1 server connection instead of 8"}, nil},
		{"a race that shows", func() Report {
			s := strategy("global-unsafe", 700, 701)
			s.Rounds[0].WrongAnswers, s.Rounds[1].Errors = 99, map[string]int64{"connection": 1}
			return finished(s)
		}, []string{"Never share one connection without a lock: of 1,501 calls, 99 got a wrong answer and 1 failed"}, nil},
		{"a race that doesn't", func() Report { return finished(strategy("global-unsafe", 700, 701)) }, []string{"which is luck"}, []string{"got a wrong answer"}},
		{"nobody to race with", func() Report {
			return changed(func(r *Report) { r.Settings.Clients = 4 }, strategy("global-unsafe", 700, 701))
		}, []string{"With one client in each process nobody shared the connection of global-unsafe, so nothing could go wrong"}, []string{"luck"}},
		{"no connections left", func() Report {
			s := strategy("direct", 700, 701)
			s.Rounds[0].Errors = map[string]int64{"53300": 12}
			return finished(s)
		}, []string{"direct ran out of connections: 12 calls were refused with SQLSTATE 53300"}, nil},
		{"the processor", func() Report {
			return changed(func(r *Report) { r.Environment.Cores, r.Environment.Private = 2, true }, strategy("carpool", 700, 701).with(4, 0.5, 0.2, 1.2))
		}, []string{"the processor: 1.90 of 2 cores were in use, 1.20 by Postgres, 0.50 by the clients and 0.20 by the pooler; with the database on a machine of its own"}, []string{"larger pool"}},
		{"more processor than there is", func() Report {
			return changed(func(r *Report) { r.Environment.Cores = 2 }, strategy("carpool", 700, 701).with(4, 0.5, 0.2, 1.6))
		}, []string{"All 4 server connections of the pool were in use"}, []string{"the processor"}},
		{"the processor of a server elsewhere", func() Report {
			s := strategy("carpool", 700, 701).with(4, 0.1, 0.1, 0.1)
			s.Rounds[1].ServerCPUSeconds = nil
			return changed(func(r *Report) { r.Environment.Cores = 8 }, s)
		}, []string{"All 4 server connections of the pool were in use"}, []string{"processor"}},
		{"the pool", func() Report {
			return changed(func(r *Report) { r.Environment.Cores = 8 }, strategy("carpool", 700, 701).with(4, 0.1, 0.1, 0.1))
		}, []string{"All 4 server connections of the pool were in use by 8 clients, and the processor wasn't the limit", "--sweep pool"}, []string{"the processor:"}},
		{"a pool of one", func() Report {
			return changed(func(r *Report) { r.Settings.PoolSize, r.Environment.Cores = 1, 8 }, strategy("carpool", 700, 701).with(1, 0.1, 0.1, 0.1))
		}, []string{"The only server connection of the pool was in use by 8 clients"}, []string{"1 server connections"}},
		{"a rate out of reach", func() Report {
			s := strategy("none", 700, 700)
			s.Rounds[0].Due, s.Rounds[1].Due, s.Rounds[0].Unstarted, s.Rounds[1].Unstarted = 1000, 1000, 300, 300
			return changed(func(r *Report) { r.Settings.Rate = 1000 }, s, strategy("carpool", 1000, 1001), strategy("carpool-session", 1000, 999))
		}, []string{"carpool and carpool-session kept up with 1,000/s; none didn't: 30 % of its calls came too late to begin"}, []string{"as many", "no difference", "1 sessions"}},
		{"sweeps", func() Report { return fixture(1, 1) }, []string{"A pool of 4 is enough for 64 clients", "beyond 8 it gets slower: "}, []string{"larger pool may"}},
		{"a sweep that still rises", func() Report {
			sweep := Sweep{Setting: "pool"}
			for i := range 4 {
				sweep.Points = append(sweep.Points, Point{Value: 1 << i, Strategies: []Strategy{strategy("carpool", 100<<i, 100<<i)}})
			}
			return changed(func(r *Report) { r.Sweeps = []Sweep{sweep} }, strategy("carpool", 700, 701))
		}, []string{"still rise at a pool of 8, the largest that was tried"}, []string{"is enough"}},
		{"a sweep of rounds far apart", func() Report {
			return changed(func(r *Report) {
				r.Sweeps = []Sweep{{Setting: "pool"}, {Setting: "clients"}}
				for i := range 4 {
					point := Point{Value: 1 << i, Strategies: []Strategy{strategy("carpool", 100<<i, 2000)}}
					r.Sweeps[0].Points = append(r.Sweeps[0].Points, point)
					r.Sweeps[1].Points = append(r.Sweeps[1].Points, point)
				}
				r.Sweeps[0].Points[3].Strategies[0], r.Sweeps[1].Points[3].Strategies[0] = strategy("carpool", 100, 9000), strategy("carpool", 100, 9000)
			}, strategy("carpool", 700, 701))
		}, []string{"vary too much to tell which size of the pool", "vary too much to tell how many clients"}, []string{"A pool of", "still"}},
		{"clients that still rise", func() Report {
			return changed(func(r *Report) {
				r.Sweeps = []Sweep{{Setting: "clients"}}
				for i := range 4 {
					r.Sweeps[0].Points = append(r.Sweeps[0].Points, Point{Value: 1 << i, Strategies: []Strategy{strategy("carpool", 100<<i, 101<<i)}})
				}
			}, strategy("carpool", 700, 701))
		}, []string{"carpool still gets more done with 8 clients, the most that were tried"}, []string{"every step"}},
		{"a processor that others use", func() Report {
			return changed(func(r *Report) { r.Environment.Cores, r.Environment.LoadAverage = 8, 6 }, strategy("carpool", 700, 701).with(4, 0.1, 0.1, 0.1))
		}, []string{"All 4 server connections of the pool were in use by 8 clients: a larger"}, []string{"processor"}},
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
