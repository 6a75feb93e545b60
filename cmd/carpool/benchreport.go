package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"carpool/bench/report"

	"github.com/spf13/cobra"
)

// benchFormat is a form of a benchmark's report.
type benchFormat struct {
	name  string
	file  string // its name in the directory of --out
	write func(io.Writer, report.Report, report.Options) error
}

// benchFormats are all forms; the first is for people at a terminal.
var benchFormats = []benchFormat{
	{"table", "report.txt", report.WriteTable},
	{"json", "report.json", plain(report.WriteJSON)},
	{"csv", "report.csv", plain(report.WriteCSV)},
	{"markdown", "report.md", plain(report.WriteMarkdown)},
	{"html", "report.html", plain(report.WriteHTML)},
	{"benchstat", "report.bench", plain(report.WriteBenchstat)},
}

func plain(write func(io.Writer, report.Report) error) func(io.Writer, report.Report, report.Options) error {
	return func(w io.Writer, r report.Report, _ report.Options) error { return write(w, r) }
}

func benchFormatNames() []string {
	var names []string
	for _, f := range benchFormats {
		names = append(names, f.name)
	}
	return names
}

// findBenchFormat is the format of a name that benchFormatNames has.
func findBenchFormat(name string) benchFormat {
	for _, f := range benchFormats {
		if f.name == name {
			return f
		}
	}
	return benchFormats[0]
}

// printReport writes r in one format to w.
func printReport(w io.Writer, r report.Report, format string) error {
	err := findBenchFormat(format).write(w, r, report.Options{Width: tableWidth(w), Color: isTerminal(w)})
	if err != nil {
		return fmt.Errorf("printing the report: %w", err)
	}
	return nil
}

// keepReport writes r in every format into dir, with its plots, and returns how many files that were.
func keepReport(dir string, r report.Report) (int, error) {
	for _, f := range benchFormats {
		if err := keepFile(filepath.Join(dir, f.file), func(w io.Writer) error {
			return f.write(w, r, report.Options{Width: defaultTableWidth})
		}); err != nil {
			return 0, fmt.Errorf("writing the report: %w", err)
		}
	}
	plots, err := report.WritePlots(dir, r, []string{"svg", "png"})
	if err != nil {
		return 0, fmt.Errorf("drawing the plots: %w", err)
	}
	return len(benchFormats) + len(plots), nil
}

// keepFile writes a file that is there whole or not at all.
func keepFile(name string, write func(io.Writer) error) error {
	unfinished := name + ".part"
	file, err := os.Create(unfinished)
	if err != nil {
		return err
	}
	err = write(file)
	if err := errors.Join(err, file.Close()); err != nil {
		_ = os.Remove(unfinished) // the first error counts
		return err
	}
	return os.Rename(unfinished, name)
}

// benchCompareCommand tells whether one report is faster than another.
func benchCompareCommand(p *program) *cobra.Command {
	return &cobra.Command{
		Use:   "compare BEFORE.json AFTER.json",
		Short: "Tell whether one benchmark was faster than another, and how sure that is.",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 2 {
				return usageError{fmt.Errorf("carpool bench compare takes two reports, made with `carpool bench --format json`; %d were given", len(args))}
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error {
			var sides [2]report.Side
			for i, name := range args {
				r, err := readReport(name)
				if err != nil {
					return err
				}
				sides[i] = report.Side{Name: name, Report: r}
			}
			o := report.Options{Width: tableWidth(p.stdout), Color: isTerminal(p.stdout)}
			return report.WriteComparison(p.stdout, sides[0], sides[1], o)
		},
	}
}

func readReport(name string) (report.Report, error) {
	file, err := os.Open(name)
	if err != nil {
		return report.Report{}, fmt.Errorf("reading a report: %w", err)
	}
	defer file.Close()
	r, err := report.ReadJSON(file)
	if err != nil {
		return report.Report{}, fmt.Errorf("reading %s: %w", name, err)
	}
	return r, nil
}
