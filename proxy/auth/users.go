package auth

import (
	"bufio"
	"cmp"
	"crypto/md5"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"strings"
)

const (
	// MaxUserName is the length in bytes that Postgres allows a name.
	MaxUserName = 63
	// MaxUsers is the number of users a file may have.
	MaxUsers = 1_000_000

	maxUserLine  = 2*MaxSecret + 4*MaxUserName + 4096 // bytes
	maxListFault = 20                                 // faults reported of one file
)

// Users is the content of a user list. It doesn't change once loaded, and a
// nil *Users has nobody in it.
type Users struct {
	secrets map[string]Secret
	common  Secret // looks like most of them and is nobody's
}

// LoadUsers reads a user list as PgBouncer has it: a user name and a secret in
// double quotes on each line, where two quotes stand for one and the rest of
// the line is ignored. Empty lines, and lines that begin with ; or #, are
// ignored. Of several lines for one user the last counts. name is what the
// file is called in errors. The error tells all faults with their lines, and
// never a secret.
func LoadUsers(r io.Reader, name string) (*Users, error) {
	u := &Users{secrets: make(map[string]Secret)}
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxUserLine)
	var faults []error
	number := 0
	for lines.Scan() {
		number++
		user, secret, err := parseUserLine(lines.Text())
		if err == nil && user != "" && len(u.secrets) == MaxUsers {
			err = errors.New("too many users")
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("%s:%d: %w", name, number, err))
			if len(faults) == maxListFault {
				return nil, errors.Join(faults...)
			}
			continue
		}
		if user != "" {
			u.secrets[user] = secret
		}
	}
	if err := lines.Err(); errors.Is(err, bufio.ErrTooLong) {
		faults = append(faults, fmt.Errorf("%s:%d: line is longer than %d bytes", name, number+1, maxUserLine))
	} else if err != nil {
		faults = append(faults, fmt.Errorf("%s:%d: read user list: %w", name, number+1, err))
	}
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	u.common = u.commonest()
	return u, nil
}

// Lookup finds a user's secret; it is a Lookup function.
func (u *Users) Lookup(user string) (s Secret, known bool) {
	if u == nil {
		return Secret{}, false
	}
	s, known = u.secrets[user]
	return s, known
}

// Len is the number of users.
func (u *Users) Len() int {
	if u == nil {
		return 0
	}
	return len(u.secrets)
}

// Names yields the users' names, in no order.
func (u *Users) Names() iter.Seq[string] {
	return func(yield func(string) bool) {
		if u == nil {
			return
		}
		for name := range u.secrets {
			if !yield(name) {
				return
			}
		}
	}
}

// CheckMode complains about a user list that everybody can read, or that others
// than its owner can change, as a warning to be logged. That a group can read it
// is how service managers and Kubernetes hand over secrets. name is what the
// file is called in the warning.
func CheckMode(name string, mode fs.FileMode) error {
	switch {
	case mode.Perm()&0o007 != 0:
		return fmt.Errorf("%s holds passwords and its mode %04o opens it to everybody", name, mode.Perm())
	case mode.Perm()&0o020 != 0:
		return fmt.Errorf("%s says who gets in and its mode %04o lets its group change that", name, mode.Perm())
	}
	return nil
}

// lookalike is what the secrets of unknown users pretend to be like.
func (u *Users) lookalike() Secret {
	if u == nil {
		return Secret{}
	}
	return u.common
}

// shape is what of a secret can be told from outside during an exchange.
type shape struct {
	kind       SecretKind
	iterations int // SCRAMSecret
	saltLen    int // SCRAMSecret, bytes
}

// commonest is a secret that nobody has, of the commonest shape.
func (u *Users) commonest() Secret {
	counts := make(map[shape]int)
	for _, s := range u.secrets {
		if s.kind != NoSecret {
			counts[s.shape()]++
		}
	}
	var best shape
	for sh, n := range counts {
		// A map has no order, and unknown users must look the same every time.
		if cmp.Or(
			cmp.Compare(n, counts[best]),
			cmp.Compare(sh.kind, best.kind),
			cmp.Compare(sh.iterations, best.iterations),
			cmp.Compare(sh.saltLen, best.saltLen)) > 0 {
			best = sh
		}
	}
	return best.secret()
}

// shape is what of the secret can be told from outside.
func (s Secret) shape() shape {
	sh := shape{kind: s.kind}
	if s.kind == SCRAMSecret {
		sh.iterations, sh.saltLen = s.keys.iterations, len(s.keys.salt)
	}
	return sh
}

// secret is one of the shape that nobody has.
func (sh shape) secret() Secret {
	s := Secret{kind: sh.kind}
	switch sh.kind {
	case SCRAMSecret:
		s.keys = &scramKeys{iterations: sh.iterations, salt: make([]byte, sh.saltLen)}
	case MD5Secret:
		s.text = md5Prefix + strings.Repeat("0", 2*md5.Size)
	}
	return s
}

// parseUserLine reads one line; user is empty when there is nothing on it.
func parseUserLine(line string) (user string, s Secret, err error) {
	line = strings.TrimLeft(line, " \t\r\v\f")
	if line == "" || line[0] == ';' || line[0] == '#' {
		return "", Secret{}, nil
	}
	user, rest, ok := quoted(line)
	if !ok {
		return "", Secret{}, errors.New("expected a user name in double quotes")
	}
	text, _, ok := quoted(strings.TrimLeft(rest, " \t"))
	if !ok {
		return "", Secret{}, errors.New("expected a password in double quotes after the user name")
	}
	switch {
	case user == "":
		return "", Secret{}, errors.New("empty user name")
	case len(user) > MaxUserName:
		return "", Secret{}, fmt.Errorf("user name is longer than %d bytes", MaxUserName)
	case len(text) > MaxSecret:
		return "", Secret{}, fmt.Errorf("password is longer than %d bytes", MaxSecret)
	case strings.IndexByte(user, 0) >= 0 || strings.IndexByte(text, 0) >= 0:
		return "", Secret{}, errors.New("zero byte")
	}
	if s = ParseSecret(text); s.kind == BadSecret {
		return "", Secret{}, fmt.Errorf("malformed SCRAM secret, or more than %d iterations", MaxIterations)
	}
	return user, s, nil
}

// quoted takes a field in double quotes off the front of s.
func quoted(s string) (field, rest string, ok bool) {
	if s == "" || s[0] != '"' {
		return "", s, false
	}
	var b strings.Builder
	for s = s[1:]; ; {
		before, after, found := strings.Cut(s, `"`)
		if !found {
			return "", s, false
		}
		b.WriteString(before)
		if !strings.HasPrefix(after, `"`) {
			return b.String(), after, true
		}
		b.WriteByte('"')
		s = after[1:]
	}
}
