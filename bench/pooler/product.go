package pooler

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
)

// Product is a pooler that can be launched. Its zero value can't.
type Product struct {
	Name    string // "carpool" or "pgbouncer"
	Version string // with the name, as the program says it: "PgBouncer 1.18.0"

	command []string // the configuration file comes last
}

// Carpool asks a carpool for its version. The command is what a configuration file is added to, such as {"./carpool", "serve"}.
func Carpool(ctx context.Context, command []string) (Product, error) {
	return newProduct(ctx, "carpool", command)
}

// PgBouncer asks a PgBouncer for its version. The command is what a configuration file is added to; none is what FindPgBouncer
// finds.
func PgBouncer(ctx context.Context, command []string) (Product, error) {
	if len(command) == 0 {
		path, err := FindPgBouncer()
		if err != nil {
			return Product{}, err
		}
		command = []string{path}
	}
	return newProduct(ctx, "pgbouncer", command)
}

func newProduct(ctx context.Context, name string, command []string) (Product, error) {
	if len(command) == 0 {
		return Product{}, fmt.Errorf("no command line of %s", name)
	}
	out, err := exec.CommandContext(ctx, command[0], "--version").Output()
	if err != nil {
		return Product{}, fmt.Errorf("asking %s for its version: %w", name, err)
	}
	version, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	return Product{Name: name, Version: version, command: slices.Clone(command)}, nil
}

// FindPgBouncer is the path of this machine's pgbouncer. Without one the error says how to get it.
func FindPgBouncer() (string, error) {
	if path, err := exec.LookPath("pgbouncer"); err == nil {
		return path, nil
	}
	for _, path := range []string{"/usr/sbin/pgbouncer", "/usr/local/sbin/pgbouncer", "/opt/homebrew/bin/pgbouncer"} {
		if stat, err := os.Stat(path); err == nil && stat.Mode().IsRegular() {
			return path, nil
		}
	}
	return "", errors.New("no pgbouncer to compare with: install the package pgbouncer")
}

// KeepsPrepared tells whether the pooler keeps named statements in transaction mode: all do but PgBouncer before 1.21.
func (p Product) KeepsPrepared() bool {
	number, isPgBouncer := strings.CutPrefix(p.Version, "PgBouncer ")
	if !isPgBouncer {
		return true
	}
	var major, minor int
	if _, err := fmt.Sscanf(number, "%d.%d", &major, &minor); err != nil {
		return false
	}
	return major > 1 || major == 1 && minor >= 21
}
