package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"carpool/bench/experiment"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// benchDisplay shows the progress of a benchmark: a bar on a terminal, elsewhere a plain line now and then. Its methods are
// called from one goroutine at a time.
type benchDisplay struct {
	w     io.Writer
	bar   *progressbar.ProgressBar // nil when plain
	shown time.Time                // when the last plain line was printed
	trial string                   // which one ran then or later
}

const (
	benchBarSteps     = 1000
	benchPlainPause   = 2 * time.Second
	benchBarWidth     = 20
	benchBarRoom      = benchBarWidth + 25 // columns that a bar takes with its percentage and times
	defaultTableWidth = 120
)

func newBenchDisplay(w io.Writer) *benchDisplay {
	d := &benchDisplay{w: w, shown: time.Now()}
	if isTerminal(w) {
		d.bar = progressbar.NewOptions(benchBarSteps,
			progressbar.OptionSetWriter(w),
			progressbar.OptionSetWidth(benchBarWidth),
			progressbar.OptionSetPredictTime(true),
			progressbar.OptionUseANSICodes(true),
			progressbar.OptionClearOnFinish(),
		)
	}
	return d
}

// note prints a sentence on a line of its own.
func (d *benchDisplay) note(sentence string) {
	if d.bar != nil {
		_ = d.bar.Clear() // a bar that can't be cleared is only ugly
	}
	fmt.Fprintln(d.w, sentence)
}

// show is made for experiment.Tools.Progress.
func (d *benchDisplay) show(p experiment.Progress) {
	text := fmt.Sprintf("%s: %.0f calls/s", p.Trial, p.PerSecond)
	if p.Errors > 0 {
		text += fmt.Sprintf(", %d errors", p.Errors)
	}
	if d.bar != nil {
		if room := max(tableWidth(d.w)-benchBarRoom, 0); len(text) > room {
			text = text[:room]
		}
		d.bar.Describe(text)
		_ = d.bar.Set(int(p.Done * benchBarSteps)) // only fails beyond the end, which Done never is
		return
	}
	beginning := p.Trial != d.trial && p.PerSecond == 0 // which says nothing about its speed
	d.trial = p.Trial
	if time.Since(d.shown) >= benchPlainPause && !beginning {
		d.shown = time.Now()
		fmt.Fprintf(d.w, "%3.0f %%, %s\n", p.Done*100, text)
	}
}

// finish ends the display: what is printed next starts on a line of its own.
func (d *benchDisplay) finish() {
	if d.bar != nil {
		_ = d.bar.Finish()
	}
}

func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

// tableWidth is the number of columns that a table on w may take.
func tableWidth(w io.Writer) int {
	file, ok := w.(*os.File)
	if !ok {
		return defaultTableWidth
	}
	width, _, err := term.GetSize(int(file.Fd()))
	if err != nil || width <= 0 {
		return defaultTableWidth
	}
	return width
}
