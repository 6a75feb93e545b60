package compare

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"carpool/bench/pooler"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
)

// shape is a way to ask for a large result.
type shape struct {
	name    string
	rowSize int
}

var shapes = [...]shape{{"COPY, rows of 1 kB", 1 << 10}, {"COPY, rows of 1 MB", 1 << 20}}

// bulkSample is one large result through one pooler.
type bulkSample struct {
	cpuPerMB time.Duration
	perSec   float64 // MB a second
	highest  int64   // bytes of memory, at the most
}

// compareBulk measures large results, with a fresh process for each shape so that its highest memory belongs to it.
func (y *yard) compareBulk(ctx context.Context) error {
	rounds := min(y.Rounds, 3)
	fmt.Fprintf(y.Out, "\n%-27s %12s %12s %16s %18s\n", fmt.Sprintf("%d MB, medians of %d", y.BulkSize, rounds), "", "CPU us/MB", "MB a second", "highest memory, MB")
	for _, s := range shapes {
		results := make(map[string][]bulkSample)
		for round := range rounds {
			for i := range 2 {
				p := []pooler.Product{y.carpool, y.pgbouncer}[(round+i)%2]
				taken, err := y.bulk(ctx, p, s)
				if err != nil {
					return err
				}
				results[p.Name] = append(results[p.Name], taken)
				fmt.Fprintf(y.Progress, "%s through %s: %s us/MB\n", s.name, p.Name, microseconds(taken.cpuPerMB))
			}
		}
		for _, p := range []pooler.Product{y.carpool, y.pgbouncer} {
			samples := results[p.Name]
			fmt.Fprintf(y.Out, "%-27s %12s %12.0f %16.0f %18.1f\n", s.name, p.Name,
				median(samples, func(b bulkSample) float64 { return float64(b.cpuPerMB) / float64(time.Microsecond) }),
				median(samples, func(b bulkSample) float64 { return b.perSec }),
				median(samples, func(b bulkSample) float64 { return megabytes(b.highest) }))
		}
	}
	return nil
}

func (y *yard) bulk(ctx context.Context, p pooler.Product, s shape) (bulkSample, error) {
	running, err := pooler.Launch(ctx, p, y.transactionMode())
	if err != nil {
		return bulkSample{}, err
	}
	defer y.end(running)
	conn, err := pgconn.Connect(ctx, running.URL(""))
	if err != nil {
		return bulkSample{}, fmt.Errorf("connecting to %s: %w", p.Name, err)
	}
	hijacked, err := conn.Hijack()
	if err != nil {
		return bulkSample{}, fmt.Errorf("taking the connection to %s: %w", p.Name, err)
	}
	defer hijacked.Conn.Close()
	release := context.AfterFunc(ctx, func() { _ = hijacked.Conn.SetDeadline(time.Unix(1, 0)) })
	defer release()

	before, err := running.CPU()
	if err != nil {
		return bulkSample{}, err
	}
	began := time.Now()
	rows := y.BulkSize << 20 / s.rowSize
	query := pgproto3.Query{String: fmt.Sprintf("COPY (SELECT repeat('x', %d) FROM generate_series(1, %d)) TO STDOUT", s.rowSize, rows)}
	message, err := query.Encode(nil)
	if err != nil {
		return bulkSample{}, fmt.Errorf("encoding a query: %w", err)
	}
	if _, err := hijacked.Conn.Write(message); err != nil {
		return bulkSample{}, fmt.Errorf("querying through %s: %w", p.Name, err)
	}
	received, err := drain(hijacked.Conn)
	if err != nil {
		return bulkSample{}, fmt.Errorf("reading through %s: %w", p.Name, err)
	}
	if wanted := int64(rows) * int64(s.rowSize+1); received != wanted { // each row ends in a newline
		return bulkSample{}, fmt.Errorf("%d bytes of rows came through %s, not %d", received, p.Name, wanted)
	}
	took := time.Since(began)
	after, err := running.CPU()
	if err != nil {
		return bulkSample{}, err
	}
	held, err := running.Memory()
	if err != nil {
		return bulkSample{}, err
	}
	return bulkSample{
		cpuPerMB: (after - before) / time.Duration(y.BulkSize), perSec: float64(y.BulkSize) / took.Seconds(), highest: held.Highest,
	}, nil
}

// drain reads messages up to ReadyForQuery and adds up the bytes of CopyData.
func drain(r io.Reader) (int64, error) {
	reader := bufio.NewReaderSize(r, 1<<18)
	header := make([]byte, 5)
	var copied int64
	for {
		if _, err := io.ReadFull(reader, header); err != nil {
			return copied, err
		}
		length := int(binary.BigEndian.Uint32(header[1:]))
		if length < 4 || length > 1<<30 {
			return copied, fmt.Errorf("message %q of %d bytes", header[0], length)
		}
		if _, err := reader.Discard(length - 4); err != nil {
			return copied, err
		}
		switch header[0] {
		case 'd':
			copied += int64(length - 4)
		case 'E':
			return copied, errors.New("the server reports an error")
		case 'Z':
			return copied, nil
		}
	}
}
