package worker

import (
	"time"

	"carpool/bench/workload"
)

// Technique is how a program comes by a connection for each call.
type Technique string

// The techniques.
const (
	Connect      Technique = "connect"       // connect, call, disconnect
	Kept         Technique = "kept"          // each client keeps a connection of its own
	Global       Technique = "global"        // one connection for the process, guarded by a lock
	GlobalUnsafe Technique = "global-unsafe" // the same without the lock
	DriverPool   Technique = "driver-pool"   // a pool inside the process
)

// Protocol is how statements are sent, by pgbench's names.
type Protocol string

// The protocols.
const (
	Simple   Protocol = "simple"   // a Query message with the values in the text
	Extended Protocol = "extended" // Parse, Bind, Execute of an unnamed statement each time
	Prepared Protocol = "prepared" // a named statement, prepared on each connection at its first use
)

// Ready is what a process's clients have when they could begin.
type Ready struct {
	Connected int `json:"connected"` // clients that can call
	Idle      int `json:"idle"`      // idle connections that are open
}

// Progress is how far the calls are.
type Progress struct {
	Calls  int64 `json:"calls"`  // that succeeded
	Errors int64 `json:"errors"` // calls that failed, for whatever reason
}

// Job is all that a worker process is told, as one line of JSON. Durations are nanoseconds there.
type Job struct {
	Technique Technique `json:"technique"`
	URL       string    `json:"url"` // of the server or pooler
	Protocol  Protocol  `json:"protocol"`
	Workload  string    `json:"workload"` // its name
	Script    string    `json:"script"`   // text of a script; instead of a workload's name
	Place     Place     `json:"place"`

	Clients     int           `json:"clients"`      // of this process
	FirstClient int           `json:"first_client"` // number of its first client among those of all processes
	PoolSize    int           `json:"pool_size"`    // of the driver's pool
	IdleClients int           `json:"idle_clients"` // connections besides, opened and left alone; for Kept only
	Duration    time.Duration `json:"duration"`     // 0: until Calls are done
	Calls       int64         `json:"calls"`        // of this process; 0: until Duration is over
	ThinkTime   time.Duration `json:"think_time"`   // between a client's calls
	Rate        float64       `json:"rate"`         // calls a second of this process, begun whether or not earlier ones are done; 0: closed loop
	Seed        uint64        `json:"seed"`
}

// Place is workload.Place with names for JSON.
type Place struct {
	Schema string `json:"schema"`
	Scale  int    `json:"scale"`
}

func (p Place) workload() workload.Place { return workload.Place(p) }

// Result is what came of a Job.
type Result struct {
	// Elapsed is from the start of the calls to the end of the last; of a storm, the length of its waves together. In an open
	// loop whose end is a duration it is that duration: Calls are then those whose time came within it.
	Elapsed   time.Duration `json:"elapsed"`
	Calls     int64         `json:"calls"`     // that succeeded
	Connected int           `json:"connected"` // clients that took part
	Idle      int           `json:"idle"`      // idle connections that were open at the end
	// Latency has, sorted, pairs of a latency in nanoseconds and how many calls took that long; from the call's intended
	// start when there is a rate.
	Latency [][2]int64 `json:"latency"`
	// Errors counts failed calls by SQLSTATE; "script" is for mistakes of the script itself, "timeout" for a reply that never
	// came, "connection" for all else without one.
	Errors            map[string]int64 `json:"errors"`
	WrongAnswers      int64            `json:"wrong_answers"`
	MixedTransactions int64            `json:"mixed_transactions"`
	ProtocolErrors    int64            `json:"protocol_errors"` // messages that can't be part of the expected reply
	Examples          []string         `json:"examples"`        // a few sentences of what went wrong, different in kind where possible
	FirstError        string           `json:"first_error"`     // of those in Errors; empty: none
	Due               int64            `json:"due"`             // calls of the open loop whose time came before the end
	Unstarted         int64            `json:"unstarted"`       // of Due: those that weren't begun before the end
	CPU               time.Duration    `json:"cpu"`             // user and system time of this process while the calls ran
}
