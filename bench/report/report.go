package report

import "time"

// SchemaVersion is that of the JSON form of Report. It changes when a field changes its meaning or goes away.
const SchemaVersion = 1

// Report is one benchmark: all that was measured, under which conditions. Its JSON form is documented in docs/benchmark-report.md.
type Report struct {
	Schema      int         `json:"schema"`
	Made        time.Time   `json:"made"`
	Environment Environment `json:"environment"`
	Settings    Settings    `json:"settings"`
	Overhead    *Overhead   `json:"overhead"`   // null: not measured
	Strategies  []Strategy  `json:"strategies"` // in the order of the table
	Sweeps      []Sweep     `json:"sweeps"`
	CutOff      bool        `json:"cut_off,omitempty"` // ended before all rounds were measured
	Advice      []string    `json:"advice"`            // what to do, in sentences
	Warnings    []string    `json:"warnings"`          // what makes the numbers doubtful, in sentences
}

// Environment is what the numbers were taken on. What isn't known is empty or 0.
type Environment struct {
	CPU            string            `json:"cpu"`
	Cores          int               `json:"cores"`
	MemoryBytes    int64             `json:"memory_bytes"`
	OS             string            `json:"os"` // with the kernel's version
	Go             string            `json:"go"`
	Carpool        string            `json:"carpool"` // version
	Commit         string            `json:"commit"`
	Postgres       string            `json:"postgres"` // version
	Private        bool              `json:"private"`  // the Postgres was started for this and is on the same machine
	Pooled         bool              `json:"pooled"`   // what was called Postgres is a pooler already
	MaxConnections int               `json:"max_connections"`
	Poolers        map[string]string `json:"poolers"`      // name: version
	LoadAverage    float64           `json:"load_average"` // of one minute, before the start
	ServerSettings map[string]string `json:"server_settings"`
}

// Settings is what was asked for.
type Settings struct {
	Workload        string  `json:"workload"`
	Protocol        string  `json:"protocol"`
	Clients         int     `json:"clients"`
	Processes       int     `json:"processes"`
	PoolSize        int     `json:"pool_size"` // of the pooler, and of each process' own pool
	Rounds          int     `json:"rounds"`
	DurationSeconds float64 `json:"duration_seconds"` // of each strategy in each round; 0: until calls are done
	Calls           int64   `json:"calls"`
	ThinkSeconds    float64 `json:"think_seconds"`
	Rate            float64 `json:"rate"` // calls a second; 0: closed loop
	IdleClients     int     `json:"idle_clients"`
	DelaySeconds    float64 `json:"delay_seconds"` // added to each round trip to the database
	Transport       string  `json:"transport"`     // tcp, tls or unix
	Seed            uint64  `json:"seed"`
	CommandLine     string  `json:"command_line"` // without secrets
}

// Overhead is what the harness itself costs a call, measured against a server that only echoes.
type Overhead struct {
	HarnessSeconds float64 `json:"harness_seconds"` // a call of the harness
	BareSeconds    float64 `json:"bare_seconds"`    // the same bytes exchanged by a bare loop
}

// PerCallSeconds is the difference, never below 0.
func (o Overhead) PerCallSeconds() float64 { return max(0, o.HarnessSeconds-o.BareSeconds) }

// Strategy is one way to come by a connection, and what came of it in every round.
type Strategy struct {
	Name    string  `json:"name"`              // such as "driver-pool"
	Title   string  `json:"title"`             // a few words
	Skipped string  `json:"skipped,omitempty"` // why it wasn't run: a sentence; then there are no rounds
	Unsafe  bool    `json:"unsafe,omitempty"`  // wrong answers are its nature
	Rounds  []Round `json:"rounds"`
	// Failures are the rounds that couldn't be measured, with why, a sentence each; the others are in Rounds.
	Failures []string `json:"failures,omitempty"`
	// Summary is computed from the rounds by Finish; nil before that, and without a round.
	Summary *Summary `json:"summary,omitempty"`
	// LectureSeconds is what 10,000 calls took in the lecture that carpool's table follows; 0: it has no such row.
	LectureSeconds float64 `json:"lecture_seconds,omitempty"`
}

// Round is one strategy in one round. What couldn't be measured is null.
type Round struct {
	ElapsedSeconds    float64          `json:"elapsed_seconds"`
	Calls             int64            `json:"calls"` // that succeeded
	Latency           []Bucket         `json:"latency"`
	Errors            map[string]int64 `json:"errors"` // by SQLSTATE, or "connection", "timeout"
	FirstError        string           `json:"first_error,omitempty"`
	WrongAnswers      int64            `json:"wrong_answers"`
	MixedTransactions int64            `json:"mixed_transactions"`
	ProtocolErrors    int64            `json:"protocol_errors"`
	Examples          []string         `json:"examples,omitempty"` // of what went wrong
	Unstarted         int64            `json:"unstarted"`          // calls of the open loop that came too late to begin
	Due               int64            `json:"due"`                // calls of the open loop whose time came; 0: not known
	ServerConnections *int             `json:"server_connections"` // at the peak, as pg_stat_activity has them
	IdleConnections   int              `json:"idle_connections"`   // of idle clients, open besides those that call
	ClientCPUSeconds  *float64         `json:"client_cpu_seconds"`
	PoolerCPUSeconds  *float64         `json:"pooler_cpu_seconds"`
	ServerCPUSeconds  *float64         `json:"server_cpu_seconds"`
	PoolerBytes       *int64           `json:"pooler_bytes"` // resident, at the end
	Samples           []Sample         `json:"samples"`
}

// Bucket is a latency in seconds and how many calls took that long; in JSON a pair.
type Bucket [2]float64

// Sample is a look at a running round.
type Sample struct {
	AtSeconds         float64 `json:"at"` // since its start
	ServerConnections int     `json:"server_connections"`
}

// Sweep is the same measurement at several values of one setting.
type Sweep struct {
	Setting string  `json:"setting"` // "pool" or "clients"
	Points  []Point `json:"points"`  // by rising value
	Knee    int     `json:"knee"`    // the value beyond which more brings little; 0: none found
}

// Point is one value of a sweep.
type Point struct {
	Value      int        `json:"value"`
	Clients    int        `json:"clients"`   // of all processes together; 0: not known
	PoolSize   int        `json:"pool_size"` // of the pooler, and of each process' own pool; 0: not known
	Strategies []Strategy `json:"strategies"`
}
