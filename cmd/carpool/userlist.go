package main

import (
	"fmt"
	"maps"
	"strings"

	"carpool/config"
	"carpool/proxy/auth"
)

// readUserList reads the users in CARPOOL_USERLIST, which holds what an
// auth_file would, one pair on each line. The secrets are as they were written.
func (p *program) readUserList() (users map[string]string, problems config.Problems) {
	text := p.variable(userListVariable)
	if strings.TrimSpace(text) == "" {
		return nil, nil
	}
	if _, err := auth.LoadUsers(strings.NewReader(text), userListVariable); err != nil {
		return nil, config.Problems{{Message: err.Error()}}
	}
	users = make(map[string]string)
	number := 0
	for line := range strings.Lines(text) {
		number++
		// LoadUsers has accepted the line: it is a comment or begins with two quoted fields.
		user, rest, ok := cutQuoted(line)
		if !ok {
			continue
		}
		secret, rest, _ := cutQuoted(rest)
		wrong := func(what string) {
			problems = append(problems, config.Problem{File: userListVariable, Line: number, Message: what})
		}
		// A file may have anything there, as PgBouncer's may. Here it is likely a list that has lost its line breaks.
		if rest = strings.TrimSpace(rest); rest != "" && !strings.HasPrefix(rest, "#") && !strings.HasPrefix(rest, ";") {
			wrong("there is more than a user and a secret on the line: each pair needs a line of its own, with a real line break")
		}
		if _, twice := users[user]; twice {
			wrong(fmt.Sprintf("the user %q is there for the second time", user))
		}
		users[user] = secret
	}
	if len(problems) > 0 {
		return nil, problems
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
