// Package report holds what a benchmark has measured and tells it: as a table for a terminal, JSON, CSV, Markdown, the Go
// benchmark format, an HTML page and plots, with what it means in words.
//
// It measures nothing, and draws no conclusion that the numbers don't show. The life of a report:
//
//  1. Whoever measures fills a Report: environment, settings, and for each Strategy its Rounds.
//  2. Finish computes summaries, knees of sweeps, warnings and advice from the rounds.
//  3. WriteTable, WriteHTML, WriteJSON and the others write it. ReadJSON reads it back, and finishes it again.
//  4. Compare and WriteComparison set two reports beside each other.
//
// Statistics come from golang.org/x/perf/benchmath: medians, and the Mann-Whitney test, which assumes nothing about how the
// rounds are distributed. Text that comes from elsewhere, such as a server's messages, is escaped for each format. A function
// that writes does it in one piece, or not at all.
package report
