package bench

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// Display shows the progress of one run: a bar on a terminal, elsewhere a plain line now and then. Its methods are called
// from one goroutine at a time.
type Display struct {
	w     io.Writer
	label string
	bar   *progressbar.ProgressBar // nil when plain
	shown time.Duration            // elapsed when the last plain line was printed
	began bool                     // a plain line about connecting has been printed
}

const (
	barSteps      = 1000
	plainInterval = 2 * time.Second
)

// NewDisplay makes a display on w, which is a terminal if it is an *os.File that is one. The label says what runs.
func NewDisplay(w io.Writer, label string) *Display {
	d := &Display{w: w, label: label}
	if file, ok := w.(*os.File); ok && term.IsTerminal(int(file.Fd())) {
		d.bar = progressbar.NewOptions(barSteps,
			progressbar.OptionSetWriter(w),
			progressbar.OptionSetDescription(label),
			progressbar.OptionSetWidth(15),
			progressbar.OptionSetPredictTime(false),
			progressbar.OptionSetElapsedTime(false),
			progressbar.OptionUseANSICodes(true),
		)
	}
	return d
}

// Show is made for Load.Progress.
func (d *Display) Show(s Snapshot) {
	if d.bar != nil {
		d.bar.Describe(d.label + ": " + describeBriefly(s))
		_ = d.bar.Set(int(s.Done * barSteps)) // only fails beyond the end, which Done never is
		return
	}
	switch {
	case s.Elapsed == 0 && !d.began:
		d.began = true
		fmt.Fprintf(d.w, "%s: connecting %s clients\n", d.label, count(int64(s.Clients)))
	case s.Elapsed >= d.shown+plainInterval:
		d.shown = s.Elapsed
		fmt.Fprintf(d.w, "%s: %3.0f %%, %s\n", d.label, s.Done*100, describe(s))
	}
}

// Finish ends the display: what is printed next starts on a line of its own.
func (d *Display) Finish() {
	if d.bar != nil {
		fmt.Fprintln(d.w)
	}
}

// describeBriefly leaves room for the bar within the 80 columns of a terminal.
func describeBriefly(s Snapshot) string {
	if s.Elapsed == 0 {
		return fmt.Sprintf("%s/%s clients", count(int64(s.Connected)), count(int64(s.Clients)))
	}
	text := count(int64(s.Connected)) + " clients"
	if s.Gauges.ServerConnections != NotSampled {
		text += " on " + count(int64(s.Gauges.ServerConnections)) + " servers"
	}
	return text + ", " + count(perSecond(s)) + "/s"
}

func perSecond(s Snapshot) int64 { return int64(float64(s.Transactions) / s.Elapsed.Seconds()) }

func describe(s Snapshot) string {
	if s.Elapsed == 0 {
		return fmt.Sprintf("%s of %s clients connected", count(int64(s.Connected)), count(int64(s.Clients)))
	}
	text := count(int64(s.Connected)) + " clients"
	if s.Gauges.ServerConnections != NotSampled {
		text += ", " + count(int64(s.Gauges.ServerConnections)) + " server connections"
	}
	if s.Gauges.Waiting != NotSampled {
		text += ", " + count(int64(s.Gauges.Waiting)) + " waiting"
	}
	text += fmt.Sprintf(", %s transactions a second", count(perSecond(s)))
	if s.Errors > 0 {
		text += ", " + count(s.Errors) + " errors"
	}
	return text
}
