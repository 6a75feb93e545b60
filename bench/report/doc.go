// Package report holds what a benchmark has measured and tells it: as a table, JSON, CSV, Markdown, benchstat's format, an
// HTML page and plots, with what it means in words.
package report
