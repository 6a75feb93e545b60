package report

import "io"

// WriteHTML writes r as one self-contained page.
func WriteHTML(w io.Writer, r Report) error { return nil }
