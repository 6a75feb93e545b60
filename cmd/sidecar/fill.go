package sidecar

import (
	"errors"
	"slices"
	"strings"
)

// fill returns the items of a query that complete a URL from the environment as libpq does.
func fill(user, place string, server []string, environ Environ) ([]string, error) {
	var items []string
	add := func(written bool, key, variable string) {
		written = written || slices.ContainsFunc(server, func(item string) bool {
			name, value, _ := strings.Cut(item, "=")
			return unescape(name) == key && value != ""
		})
		if value := environ.Value(variable); value != "" && !written {
			items = append(items, key+"="+escape(value))
		}
	}
	hosts, database, _ := strings.Cut(place, "/")
	_, port, _ := strings.Cut(hosts[strings.IndexByte(hosts, ']')+1:], ":")
	add(user != "", "user", "PGUSER")
	add(hosts != "", "host", "PGHOST")
	add(port != "" || strings.Contains(hosts, ","), "port", "PGPORT")
	add(database != "", "dbname", "PGDATABASE")
	switch binding := environ.Value("PGCHANNELBINDING"); binding {
	case "", "prefer", "require", "disable":
		add(false, "channel_binding", "PGCHANNELBINDING")
	default:
		return nil, errors.New("PGCHANNELBINDING: expected one of prefer, require, disable")
	}
	return items, nil
}

// direct is the URL as it was written, completed by what the environment has to say and the command's environment won't say any
// more.
func (u *URL) direct() string {
	whole := u.written != "" || u.Server.Password == ""
	var missing []string
	for _, item := range u.filled {
		switch key, _, _ := strings.Cut(item, "="); key {
		case "user":
			whole = false
		case "host", "port", "dbname":
			missing = append(missing, item)
		}
	}
	if whole && len(missing) == 0 {
		return u.original
	}
	credentials := u.user
	if u.Server.Password != "" {
		credentials += ":" + escape(u.Server.Password)
	}
	location := u.location
	if len(missing) > 0 {
		separator := "?"
		if strings.Contains(location, "?") {
			separator = "&"
		}
		location += separator + strings.Join(missing, "&")
	}
	return u.scheme + "://" + credentials + "@" + location
}
