package pool

// Quota is a limit on open and dialing values that several pools share. It
// belongs to one Registry, whose lock guards it; a Quota used with two
// registries limits nothing reliably.
type Quota struct {
	name  string
	limit int // guarded by the registry's mu
}

// NewQuota returns a quota of limit values; 0 or less means unlimited. The
// name is for messages only.
func NewQuota(name string, limit int) *Quota {
	return &Quota{name: name, limit: max(limit, 0)}
}

// Name returns the name given to NewQuota.
func (q *Quota) Name() string { return q.name }

// SetLimit changes the limit of q; 0 or less means unlimited. When less is
// allowed than is open, idle values are closed at once, longest idle first,
// and leased ones when they come back.
func (r *Registry[S]) SetLimit(q *Quota, limit int) {
	var fx effects[S]
	r.mu.Lock()
	r.led.setLimit(q, max(limit, 0), r.Now(), &fx)
	r.finish(&fx)
}

// QuotaUse returns how many values of the pools under q are open or being
// dialed, and the limit (0 = unlimited).
func (r *Registry[S]) QuotaUse(q *Quota) (used, limit int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if b := r.led.budgets[q]; b != nil {
		used = b.used
	}
	return used, q.limit
}
