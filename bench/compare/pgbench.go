package compare

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"carpool/bench/worker"

	"carpool/bench/pgserver"
	"carpool/bench/pooler"
)

func findPgbench(binaries pgserver.Binaries) (string, error) {
	if path := binaries.Path("pgbench"); exec.Command(path, "--version").Run() == nil {
		return path, nil
	}
	path, err := exec.LookPath("pgbench")
	if err != nil {
		return "", fmt.Errorf("looking for pgbench, which is in the packages postgresql or postgresql-contrib: %w", err)
	}
	return path, nil
}

// cell is one line of a table: one way to call pgbench.
type cell struct {
	protocol  worker.Protocol
	clients   int
	reconnect bool // a connection for each transaction
}

func (c cell) String() string {
	name := string(c.protocol)
	if c.reconnect {
		name = "connect, " + name
	}
	return fmt.Sprintf("%s, %d clients", name, c.clients)
}

// sample is one run of pgbench through one pooler.
type sample struct {
	cpu       time.Duration // of the pooler, for each transaction
	perSecond float64
}

// warmUp opens the servers, and shows at once what doesn't work.
func (y *yard) warmUp(ctx context.Context, p *pooler.Running, c cell) error {
	_, err := y.runPgbench(ctx, p, c, "-t", "100")
	return err
}

// measure runs pgbench for the time that a measurement takes.
func (y *yard) measure(ctx context.Context, p *pooler.Running, c cell) (sample, error) {
	return y.runPgbench(ctx, p, c, "-T", strconv.Itoa(max(1, int(y.RunTime.Seconds()))))
}

// runPgbench runs pgbench once and reads the pooler's CPU time before and after. Connecting and leaving are part of it.
func (y *yard) runPgbench(ctx context.Context, p *pooler.Running, c cell, limit ...string) (sample, error) {
	arguments := append([]string{
		"-n", "-S", "-j", "2", "-c", strconv.Itoa(c.clients), "-M", string(c.protocol),
		"-h", "127.0.0.1", "-p", strconv.Itoa(p.Port()), "-U", "postgres",
	}, limit...)
	if c.reconnect {
		arguments = append(arguments, "-C")
	}
	command := exec.CommandContext(ctx, y.pgbench, append(arguments, "postgres")...)
	command.Env = pgserver.Environment(os.TempDir())
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	before, err := p.CPU()
	if err != nil {
		return sample{}, err
	}
	out, err := command.CombinedOutput()
	if err != nil {
		return sample{}, fmt.Errorf("running pgbench through %s (%s): %w: %s", p.Product.Name, c, err, out)
	}
	after, err := p.CPU()
	if err != nil {
		return sample{}, err
	}
	transactions, perSecond, err := parsePgbench(string(out))
	if err != nil {
		return sample{}, fmt.Errorf("reading what pgbench printed for %s (%s): %w: %s", p.Product.Name, c, err, out)
	}
	return sample{cpu: (after - before) / time.Duration(transactions), perSecond: perSecond}, nil
}

var (
	processedLine = regexp.MustCompile(`(?m)^number of transactions actually processed: (\d+)`)
	failedLine    = regexp.MustCompile(`(?m)^number of failed transactions: (\d+)`)
	tpsLine       = regexp.MustCompile(`(?m)^tps = ([0-9.]+) \((?:without initial connection time|including reconnection times|excluding connections establishing)`)
)

// parsePgbench reads pgbench's report. A run with failed transactions, or with clients that gave up, is no measurement.
func parsePgbench(report string) (transactions int64, perSecond float64, err error) {
	if strings.Contains(report, "aborted") {
		return 0, 0, errors.New("clients gave up")
	}
	if failed := failedLine.FindStringSubmatch(report); failed != nil && failed[1] != "0" {
		return 0, 0, errors.New("transactions failed")
	}
	processed := processedLine.FindStringSubmatch(report)
	tps := tpsLine.FindStringSubmatch(report)
	if processed == nil || tps == nil {
		return 0, 0, errors.New("no count of transactions, or no rate")
	}
	if transactions, err = strconv.ParseInt(processed[1], 10, 64); err != nil {
		return 0, 0, fmt.Errorf("count of transactions: %w", err)
	}
	if perSecond, err = strconv.ParseFloat(tps[1], 64); err != nil {
		return 0, 0, fmt.Errorf("rate: %w", err)
	}
	if transactions == 0 {
		return 0, 0, errors.New("no transaction was processed")
	}
	return transactions, perSecond, nil
}
