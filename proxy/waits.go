package proxy

import (
	"carpool/pool"
)

// obstacle is what a client that waits on the route waits for: the setting whose
// limit is reached, or else a word.
func (r *route) obstacle(t *pool.Ticket[*server]) string {
	o, quota := r.pool.Obstacle(t)
	switch o {
	case pool.ObstacleOpening:
		return "server login"
	case pool.ObstaclePaused:
		return "paused"
	case pool.ObstacleDials:
		return "max_dials"
	case pool.ObstacleBackoff:
		return "server_login_retry"
	case pool.ObstacleSize:
		return "pool_size"
	case pool.ObstacleQuota:
		if quota == r.tenant.quota {
			return "max_db_connections"
		}
		return "max_user_connections"
	}
	return ""
}
