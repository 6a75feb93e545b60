package procfile

import (
	"bufio"
	"fmt"
	"io"
	"regexp"
	"strings"
)

// Line is a kind of process: "web: gunicorn wsgi:app" has the name "web" and the command that follows.
type Line struct {
	Name    string
	Command string
}

// Most of what a Procfile may have. Real ones have a handful of lines.
const (
	mostLineBytes = 16 << 10
	mostLines     = 1000
)

// Parse reads a Procfile. Empty lines and those that begin with # are passed over. A line that is anything else than
// "name: command", or has a name for the second time, is an error that tells its number.
func Parse(r io.Reader) ([]Line, error) {
	form := regexp.MustCompile(`^([A-Za-z0-9_-]+):\s*(\S.*)$`)
	seen := make(map[string]bool)
	var lines []Line
	scanner := bufio.NewScanner(r)
	scanner.Buffer(nil, mostLineBytes)
	for number := 1; scanner.Scan(); number++ {
		text := strings.TrimSpace(scanner.Text())
		if text == "" || strings.HasPrefix(text, "#") {
			continue
		}
		parts := form.FindStringSubmatch(text)
		switch {
		case parts == nil:
			return nil, fmt.Errorf("line %d of the Procfile isn't of the form \"name: command\"", number)
		case seen[parts[1]]:
			return nil, fmt.Errorf("line %d of the Procfile is a second %q", number, parts[1])
		case len(lines) == mostLines:
			return nil, fmt.Errorf("the Procfile has more than %d lines", mostLines)
		}
		seen[parts[1]] = true
		lines = append(lines, Line{Name: parts[1], Command: parts[2]})
	}
	if err := scanner.Err(); err != nil {
		return nil, fmt.Errorf("reading the Procfile: %w", err)
	}
	return lines, nil
}

// Find returns the command of the line with a name.
func Find(lines []Line, name string) (command string, ok bool) {
	for _, line := range lines {
		if line.Name == name {
			return line.Command, true
		}
	}
	return "", false
}
