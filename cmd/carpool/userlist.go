package main

import (
	"maps"
	"strings"

	"carpool/config"
	"carpool/proxy/auth"
)

// readUserList reads the users in CARPOOL_USERLIST, which holds what an
// auth_file would. The secrets are as they were written.
func (p *program) readUserList() (map[string]string, config.Problems) {
	text := p.variable(userListVariable)
	if strings.TrimSpace(text) == "" {
		return nil, nil
	}
	if _, err := auth.LoadUsers(strings.NewReader(text), userListVariable); err != nil {
		return nil, config.Problems{{Message: err.Error()}}
	}
	users := make(map[string]string)
	for line := range strings.Lines(text) {
		// LoadUsers has accepted the line: it is a comment or two quoted fields.
		if user, rest, ok := cutQuoted(line); ok {
			users[user], _, _ = cutQuoted(rest)
		}
	}
	return users, nil
}

// cutQuoted takes a field in double quotes off the front of a line, in which
// two quotes stand for one.
func cutQuoted(line string) (field, rest string, ok bool) {
	rest, ok = strings.CutPrefix(strings.TrimLeft(line, " \t\r\n\v\f"), `"`)
	if !ok {
		return "", "", false
	}
	for {
		part, after, closed := strings.Cut(rest, `"`)
		field += part
		if !closed {
			return "", "", false
		}
		if rest, ok = strings.CutPrefix(after, `"`); !ok {
			return field, after, true
		}
		field += `"`
	}
}

// addUsers lets users in. With a list of users nobody gets in without a
// password only because a database URL has none.
func addUsers(c *config.Config, users map[string]string) {
	if len(users) == 0 {
		return
	}
	maps.DeleteFunc(c.StaticUsers, func(_, password string) bool { return password == "" })
	if c.AuthType == config.AuthTrust && c.Where("auth_type") == "" {
		c.AuthType = config.AuthSCRAMSHA256
	}
	if c.StaticUsers == nil {
		c.StaticUsers = make(map[string]string, len(users))
	}
	maps.Copy(c.StaticUsers, users)
}
