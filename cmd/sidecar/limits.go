package sidecar

import (
	"fmt"
	"strconv"
)

// LimitsQuery asks a server what it allows whoever is logged in. ParseLimits reads what it answers.
const LimitsQuery = `SELECT current_setting('max_connections'),
	current_setting('superuser_reserved_connections')::int + coalesce(current_setting('reserved_connections', true), '0')::int,
	CASE WHEN r.rolsuper THEN -1 ELSE r.rolconnlimit END, CASE WHEN r.rolsuper THEN -1 ELSE d.datconnlimit END
	FROM pg_roles r, pg_database d WHERE r.rolname = session_user AND d.datname = current_database()`

// ParseLimits reads the one row that LimitsQuery gives.
func ParseLimits(row []string) (Limits, error) {
	var numbers [4]int
	if len(row) != len(numbers) {
		return Limits{}, fmt.Errorf("the limits of the server aren't one row of %d numbers", len(numbers))
	}
	for i, text := range row {
		number, err := strconv.ParseInt(text, 10, 32)
		if err != nil {
			return Limits{}, fmt.Errorf("the limits of the server: %w", err)
		}
		numbers[i] = int(number)
	}
	return Limits{Max: numbers[0], Reserved: numbers[1], Role: numbers[2], Database: numbers[3]}, nil
}
