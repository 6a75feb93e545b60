package experiment

import (
	"context"
	"errors"
	"time"

	"carpool/bench/pooler"
	"carpool/bench/procfs"
	"carpool/bench/report"
	"carpool/bench/target"
)

// meter looks from outside at what a trial uses: server connections, processor time, memory.
type meter struct {
	field  *field
	pooler *pooler.Running // nil: none
	label  string

	watch         *target.Watch
	began         time.Time
	server, relay time.Duration // processor time at the start; negative: can't be read here
}

const watchInterval = 100 * time.Millisecond

// open begins to watch. It is called before the clients connect, so that what they keep is seen.
func (m *meter) open(ctx context.Context) error {
	var err error
	m.watch, err = m.field.database.Watch(ctx, m.label, watchInterval)
	return err
}

// start is called when the calls begin.
func (m *meter) start() {
	m.server, m.relay = cpuOr(m.field.database.CPU), -1
	if m.pooler != nil {
		m.relay = cpuOr(m.pooler.CPU)
	}
	m.began = time.Now()
}

// cpuOr is a processor time, negative when it can't be read.
func cpuOr(read func() (time.Duration, error)) time.Duration {
	used, err := read()
	if err != nil {
		return -1
	}
	return used
}

// stop ends the watch and notes in round what was used since start.
func (m *meter) stop(round *report.Round) error {
	round.ServerCPUSeconds = since(m.server, cpuOr(m.field.database.CPU))
	if m.pooler != nil {
		round.PoolerCPUSeconds = since(m.relay, cpuOr(m.pooler.CPU))
		if memory, err := m.pooler.Memory(); err == nil {
			round.PoolerBytes = &memory.Resident
		} else if !errors.Is(err, procfs.ErrUnsupported) {
			return err
		}
	}
	samples, err := m.close()
	if err != nil {
		return err
	}
	peak := 0
	for _, sample := range samples {
		peak = max(peak, sample.Connections)
		round.Samples = append(round.Samples, report.Sample{AtSeconds: sample.At.Seconds(), ServerConnections: sample.Connections})
	}
	round.ServerConnections = &peak
	return nil
}

// since is what was used between two readings, in seconds; nil if one of them couldn't be had.
func since(before, after time.Duration) *float64 {
	if before < 0 || after < before {
		return nil
	}
	used := (after - before).Seconds()
	return &used
}

// close ends the watch, if it hasn't ended.
func (m *meter) close() ([]target.Sample, error) {
	if m.watch == nil {
		return nil, nil
	}
	watch := m.watch
	m.watch = nil
	return watch.Stop()
}
