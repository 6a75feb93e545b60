//go:build !linux

package supervise

// Orphans don't come to this process here, so there is nothing to reap and
// nothing to end but the command.

type process struct{}

func (c *Child) reapOrphans() bool { return true }

func processes() ([]process, error) { return nil, nil }

func below(int, []process, strangers) (living []int, left bool) { return nil, false }

func childrenNow() map[int]bool { return nil }
