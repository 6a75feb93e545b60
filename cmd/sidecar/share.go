package sidecar

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// ParseShare reads a share of a server's connections: a fraction such as 1/8, a number such as 0.125 or a percentage such as
// 12.5%. It is greater than 0 and at most 1.
func ParseShare(text string) (float64, error) {
	text = strings.TrimSpace(text)
	share, ok := 0.0, false
	if above, below, fraction := strings.Cut(text, "/"); fraction {
		a, aErr := strconv.ParseUint(above, 10, 16)
		b, bErr := strconv.ParseUint(below, 10, 16)
		ok = aErr == nil && bErr == nil && b > 0
		share = float64(a) / float64(b)
	} else {
		number, percent := strings.CutSuffix(text, "%")
		value, err := strconv.ParseFloat(number, 64)
		ok = err == nil && !strings.ContainsAny(number, "xXpPiInN_")
		share = value
		if percent {
			share /= 100
		}
	}
	if !ok || math.IsNaN(share) || share <= 0 || share > 1 {
		return 0, errors.New("expected a share of the server's connections, such as 1/8, 0.125 or 12.5%")
	}
	return share, nil
}

// Limits is how many connections a server allows a role to have to a database.
type Limits struct {
	Max      int // max_connections
	Reserved int // of these for superusers and for roles that may use reserved ones
	Role     int // the role's own limit; negative is none
	Database int // the database's own limit; negative is none
}

// Usable is how many connections there can be at once.
func (l Limits) Usable() int {
	usable := l.Max - l.Reserved
	for _, limit := range []int{l.Role, l.Database} {
		if limit >= 0 {
			usable = min(usable, limit)
		}
	}
	return max(usable, 0)
}

// Share is the number of connections that a share comes to, at least 1, and how it was reckoned, in words.
func (l Limits) Share(share float64, text string) (connections int, reckoning string) {
	usable := l.Usable()
	// The least error of a division mustn't cost a connection: 0.1 of 30 is 3.
	connections = max(1, int(share*float64(usable)+1e-9))
	reckoning = fmt.Sprintf("max_connections %d less %d reserved", l.Max, l.Reserved)
	if l.Role >= 0 {
		reckoning += fmt.Sprintf(", the role's limit %d", l.Role)
	}
	if l.Database >= 0 {
		reckoning += fmt.Sprintf(", the database's limit %d", l.Database)
	}
	reckoning += fmt.Sprintf(": %d usable; %s of them is %d", usable, text, connections)
	return connections, reckoning
}
