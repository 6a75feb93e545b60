//go:build !linux

package pooler

import "os"

// secretFile is nil: only Linux has files without a name that can be opened by one.
func (p place) secretFile(string) (*os.File, error) { return nil, nil }

func inheritedPath(int) string { return "" }
