package auth

import (
	"errors"
	"fmt"
	"math/bits"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"
)

// Limits on files of rules and maps.
const (
	maxRules     = 5000
	maxHBALine   = 64 << 10 // bytes
	maxHBANames  = 100_000  // of all rules together
	maxFileDepth = 5        // files of names, one inside the other
	maxNameFiles = 1000     // files of names that are read
)

// LoadHBA reads rules. name is the file's, for errors and because other files
// that it names lie beside it; read gets those. maps may be nil. The error tells
// all faults with their lines: a rule that isn't understood is never passed
// over, since it may be the one that keeps somebody out.
func LoadHBA(content []byte, name string, maps *NameMaps, read func(name string) ([]byte, error)) (*HBA, error) {
	h := &HBA{}
	p := hbaParser{maps: maps, read: read}
	var faults faults
	for number, line := range lines(content) {
		tokens, err := tokenize(line)
		if err == nil && len(tokens) == 0 {
			continue
		}
		var rule hbaRule
		if err == nil {
			rule, err = p.rule(tokens, name)
		}
		if err == nil && len(h.rules) == maxRules {
			err = fmt.Errorf("more than %d rules", maxRules)
		}
		if err != nil {
			if faults.add(name, number, err) {
				break
			}
			continue
		}
		h.rules = append(h.rules, rule)
	}
	if err := faults.err(); err != nil {
		return nil, err
	}
	return h, nil
}

// hbaParser reads the rules of one file.
type hbaParser struct {
	maps  *NameMaps
	read  func(string) ([]byte, error)
	names int // so far
	files int // so far
}

// rule reads the tokens of one line.
func (p *hbaParser) rule(tokens []token, file string) (r hbaRule, err error) {
	kinds := map[string]hbaKind{"local": hbaLocal, "host": hbaHost, "hostssl": hbaHostSSL, "hostnossl": hbaHostNoSSL}
	kind, ok := kinds[tokens[0].text]
	if !ok || tokens[0].quoted {
		return r, fmt.Errorf("expected local, host, hostssl or hostnossl, not %s", tokens[0])
	}
	r.kind = kind
	fields := fieldsOf(tokens[1:])
	if fields.err != nil {
		return r, fields.err
	}
	if err := p.nameSet(&r.databases, fields.next(), file, true, 0); err != nil {
		return r, fmt.Errorf("databases: %w", err)
	}
	if err := p.nameSet(&r.users, fields.next(), file, false, 0); err != nil {
		return r, fmt.Errorf("users: %w", err)
	}
	if kind != hbaLocal {
		if err := r.address(&fields); err != nil {
			return r, err
		}
	}
	return r, p.method(&r, &fields)
}

// nameSet adds a list of names to s. depth is how many files it is inside of.
func (p *hbaParser) nameSet(s *nameSet, list []token, file string, databases bool, depth int) error {
	if len(list) == 0 {
		return errors.New("expected a name, or several with commas between")
	}
	for _, t := range list {
		switch {
		case t.quoted:
		case t.text == "all":
			s.all = true
			continue
		case databases && t.text == "sameuser":
			s.sameUser = true
			continue
		case databases && t.text == "replication":
			s.replication = true
			continue
		case databases && (t.text == "samerole" || t.text == "samegroup"), t.text[0] == '+':
			return fmt.Errorf("%s isn't supported: carpool doesn't know who is in which role", t)
		case t.text[0] == '/':
			return fmt.Errorf("%s isn't supported: a regular expression", t)
		case t.text[0] == '@':
			if err := p.nameFile(s, beside(file, t.text[1:]), databases, depth+1); err != nil {
				return err
			}
			continue
		}
		if p.names++; p.names > maxHBANames {
			return fmt.Errorf("more than %d names", maxHBANames)
		}
		if s.names == nil {
			s.names = make(map[string]struct{})
		}
		s.names[t.text] = struct{}{}
	}
	return nil
}

// nameFile adds the names that a file holds.
func (p *hbaParser) nameFile(s *nameSet, file string, databases bool, depth int) error {
	if p.files++; depth > maxFileDepth || p.files > maxNameFiles {
		return fmt.Errorf("%s: too many files of names: more than %d, or more than %d one inside the other", file, maxNameFiles, maxFileDepth)
	}
	if s.names == nil {
		s.names = make(map[string]struct{}) // empty is nobody
	}
	content, err := p.read(file)
	if err != nil {
		return err
	}
	for number, line := range lines(content) {
		tokens, err := tokenize(line)
		if err == nil {
			for f := fieldsOf(tokens); err == nil && len(f.list) > 0; {
				err = p.nameSet(s, f.next(), file, databases, depth)
			}
		}
		if err != nil {
			return fmt.Errorf("%s:%d: %w", file, number, err)
		}
	}
	return nil
}

// beside is a file as another one names it.
func beside(file, name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(filepath.Dir(file), name)
}

// address reads where clients come from: all, a network with the length of its
// prefix, or an address and a mask.
func (r *hbaRule) address(fields *hbaFields) error {
	text, ok := fields.word()
	if !ok {
		return errors.New("expected an address")
	}
	if text == "all" {
		r.everywhere = true
		return nil
	}
	address, length, slash := strings.Cut(text, "/")
	addr, err := netip.ParseAddr(address)
	if err != nil || addr.Zone() != "" {
		return fmt.Errorf("expected all or an IP address, not %q: host names, samehost and samenet aren't supported", text)
	}
	n := 0
	if slash {
		if n, err = strconv.Atoi(length); err != nil || n < 0 || n > addr.BitLen() {
			return fmt.Errorf("expected a prefix length from 0 to %d behind the slash in %q", addr.BitLen(), text)
		}
	} else {
		mask, ok := fields.word()
		if !ok {
			return fmt.Errorf("expected a mask for %s, or /%d for this address alone", addr, addr.BitLen())
		}
		if n, err = maskLength(addr, mask); err != nil {
			return err
		}
	}
	r.network = netip.PrefixFrom(addr, n)
	if r.network.Masked() != r.network {
		return fmt.Errorf("%s has bits that its mask doesn't cover: the network is %s", addr, r.network.Masked())
	}
	if addr.Is4In6() {
		return fmt.Errorf("%q: write an IPv4 address as such", text)
	}
	return nil
}

// maskLength is how many bits of an address a mask covers.
func maskLength(addr netip.Addr, text string) (int, error) {
	mask, err := netip.ParseAddr(text)
	if err != nil || mask.BitLen() != addr.BitLen() {
		return 0, fmt.Errorf("expected a mask for %s, not %q", addr, text)
	}
	n := 0
	for i, b := range mask.AsSlice() {
		ones := bits.LeadingZeros8(^b)
		if bits.OnesCount8(b) != ones || ones > 0 && n != 8*i {
			return 0, fmt.Errorf("%q isn't a mask: its ones have to come before its zeros", text)
		}
		n += ones
	}
	return n, nil
}

// method reads how clients prove who they are, and what belongs to it.
func (p *hbaParser) method(r *hbaRule, fields *hbaFields) error {
	name, ok := fields.word()
	if !ok {
		return errors.New("expected a method")
	}
	methods := map[string]Method{
		"trust": Trust, "reject": Reject, "password": Plain, "plain": Plain, "md5": MD5, "scram-sha-256": SCRAM, "cert": Cert, "peer": Peer,
	}
	if r.rule.Method, ok = methods[name]; !ok {
		return fmt.Errorf("expected one of trust, reject, password, md5, scram-sha-256, cert, peer, not %q", name)
	}
	switch {
	case r.rule.Method == Cert && r.kind != hbaHostSSL && r.kind != hbaHost:
		return errors.New("cert needs hostssl")
	case r.rule.Method == Peer && r.kind != hbaLocal:
		return errors.New("peer needs local")
	}
	for len(fields.list) > 0 {
		option, _ := fields.word()
		key, value, ok := strings.Cut(option, "=")
		if !ok || key != "map" || value == "" || r.rule.Map != nil || r.rule.Method != Cert && r.rule.Method != Peer {
			return fmt.Errorf("unsupported option %q: cert and peer take map=NAME, and the others take none", option)
		}
		if r.rule.Map, ok = p.maps.find(value); !ok {
			return fmt.Errorf("there is no map %q in auth_ident_file", value)
		}
	}
	return nil
}
