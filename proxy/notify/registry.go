package notify

import (
	"errors"
	"fmt"
	"strings"
)

// verb is what a command asks for.
type verb uint8

const (
	doListen verb = iota
	doUnlisten
	doUnlistenAll
	doExpect // a token
	doReopen
	doCatchUp
)

// command is a call of one of the hub's methods, on its way to run.
type command struct {
	do       verb
	listener Listener
	channel  string
	token    string
	number   uint64
}

// standing is what the server does for a channel.
type standing uint8

const (
	off      standing = iota // nothing
	starting                 // LISTEN is under way
	on                       // it listens
	stopping                 // UNLISTEN is under way
)

// channel is one that is wanted, or that the server has still to be rid of.
type channel struct {
	name     string
	standing standing
	members  []member
	run      []Note // scratch of deliver
}

// member is a subscriber's place at a channel.
type member struct {
	*subscriber
	ticket uint64
}

// subscriber is a Listener that wants at least one channel.
type subscriber struct {
	listener Listener
	channels map[*channel]int // its places among their members
	pending  int              // of them, those that aren't on
	gap      bool             // told Lost, not yet Restored
	token    string           // expected on the marker channel

	sole  *channel // scratch of deliver: the one channel that brought notes
	mixed bool     // scratch of deliver: more than one did
}

// registry is who wants what, and what the server has to be told.
//
// What holds between two turns of run: a channel that is wanted and isn't on,
// or is on and not wanted, is dirty or has a statement under way; a subscriber
// has at least one channel, and is at its place among each one's members.
type registry struct {
	subscribers map[Listener]*subscriber
	channels    map[string]*channel
	tokens      map[string]*subscriber
	dirty       map[*channel]struct{}
	wanted      int // channels with members
}

func (r *registry) init() {
	r.subscribers = make(map[Listener]*subscriber)
	r.channels = make(map[string]*channel)
	r.tokens = make(map[string]*subscriber)
	r.dirty = make(map[*channel]struct{})
}

var errName = errors.New("not a channel's name")

// checkName tells which names no server could listen on as they are.
func checkName(name string) error {
	if name == "" || len(name) > MaxChannel || strings.IndexByte(name, 0) >= 0 {
		return fmt.Errorf("listening on %q: %w", name, errName)
	}
	return nil
}

// carryOut does what a command asks for.
func (h *Hub) carryOut(c *command) {
	r := &h.registry
	switch c.do {
	case doListen:
		if err := checkName(c.channel); err != nil {
			c.listener.Subscribed(c.channel, c.number, err)
			return
		}
		if r.join(c.listener, c.channel, c.number) {
			c.listener.Subscribed(c.channel, c.number, nil)
		}
	case doUnlisten:
		if sub, ch := r.subscribers[c.listener], r.channels[c.channel]; sub != nil && ch != nil {
			r.leave(sub, ch)
		}
	case doUnlistenAll:
		if sub := r.subscribers[c.listener]; sub != nil {
			sub.gap = false // it won't be told
			for ch := range sub.channels {
				r.leave(sub, ch)
			}
		}
		h.link.forgetCatchUps(c.listener)
	case doCatchUp:
		h.catchUp(c)
	case doReopen:
		h.link.stale = true // see attend
	case doExpect:
		if sub := r.subscribers[c.listener]; sub != nil {
			r.expect(sub, c.token)
		}
	}
}

// join makes a Listener a member of a channel. It reports whether the server
// listens on it already.
func (r *registry) join(l Listener, name string, ticket uint64) (listening bool) {
	sub := r.subscribers[l]
	if sub == nil {
		sub = &subscriber{listener: l, channels: make(map[*channel]int, 1)}
		r.subscribers[l] = sub
	}
	ch := r.channels[name]
	if ch == nil {
		ch = &channel{name: strings.Clone(name)}
		r.channels[name] = ch
	}
	if at, ok := sub.channels[ch]; ok {
		ch.members[at].ticket = ticket
		return ch.standing == on
	}
	sub.channels[ch] = len(ch.members)
	ch.members = append(ch.members, member{sub, ticket})
	if len(ch.members) == 1 {
		r.wanted++
		r.review(ch)
	}
	if ch.standing != on {
		sub.pending++
	}
	return ch.standing == on
}

// leave ends a membership. A subscriber without any is forgotten.
func (r *registry) leave(sub *subscriber, ch *channel) {
	at, ok := sub.channels[ch]
	if !ok {
		return
	}
	last := len(ch.members) - 1
	moved := ch.members[last]
	ch.members[at] = moved
	moved.channels[ch] = at
	ch.members[last] = member{}
	ch.members = ch.members[:last]
	delete(sub.channels, ch)
	if last == 0 {
		r.wanted--
		ch.members = nil
		r.review(ch)
	}
	if len(sub.channels) == 0 {
		delete(r.subscribers, sub.listener)
		r.expect(sub, "")
	}
	if ch.standing != on {
		sub.settled()
	}
}

// settled counts a channel as no longer pending.
func (s *subscriber) settled() {
	s.pending--
	if s.pending == 0 && s.gap {
		s.gap = false
		s.listener.Restored()
	}
}

// expect replaces the token that a subscriber expects; "" is none.
func (r *registry) expect(sub *subscriber, token string) {
	delete(r.tokens, sub.token)
	sub.token = token
	if token != "" {
		r.tokens[token] = sub
	}
}

// review notes whether the server has to be told about a channel, and forgets
// one that nobody wants and the server doesn't listen on. While a statement for
// it is under way there is nothing to tell: the answer has it reviewed again.
func (r *registry) review(ch *channel) {
	wanted := len(ch.members) > 0
	switch {
	case wanted && ch.standing == off, !wanted && ch.standing == on:
		r.dirty[ch] = struct{}{}
		return
	case !wanted && ch.standing == off:
		delete(r.channels, ch.name)
	}
	delete(r.dirty, ch)
}

// next takes a channel that a statement has to be sent for; nil if there is
// none.
func (r *registry) next() *channel {
	for ch := range r.dirty {
		delete(r.dirty, ch)
		return ch
	}
	return nil
}

// began notes that the server listens on a channel.
func (r *registry) began(ch *channel) {
	ch.standing = on
	for _, m := range ch.members {
		m.listener.Subscribed(ch.name, m.ticket, nil)
		m.settled()
	}
	r.review(ch)
}

// refused notes that the server won't listen on a channel: its members have it
// no more.
func (r *registry) refused(ch *channel, err error) {
	ch.standing = off
	for len(ch.members) > 0 {
		m := ch.members[len(ch.members)-1]
		m.listener.Subscribed(ch.name, m.ticket, err)
		r.leave(m.subscriber, ch)
	}
	r.review(ch)
}

// ceased notes that the server listens on a channel no more.
func (r *registry) ceased(ch *channel) {
	ch.standing = off
	r.review(ch)
}

// bereave notes that the connection is lost, and tells those who had listened.
// It reports whether there were any.
func (r *registry) bereave(err error) (any bool) {
	clear(r.tokens)
	for _, sub := range r.subscribers {
		sub.token = ""
		if sub.pending < len(sub.channels) {
			any = true
			sub.gap = true
			sub.pending = len(sub.channels)
			sub.listener.Lost(err)
		}
	}
	for _, ch := range r.channels {
		ch.standing = off
		r.review(ch)
	}
	return any
}
