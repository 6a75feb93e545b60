package main

import (
	"fmt"
	"strings"

	"carpool/cmd/sidecar"
	"carpool/config"
)

// variableURL is a database URL and the environment variable that holds it.
type variableURL struct{ variable, text string }

// readURLs reads the database URLs to start from: those that --url names, else,
// without a file, those of CARPOOL_URLS, else the one of DATABASE_URL if that is
// set.
func (p *program) readURLs(s *source, haveFile bool) (urls []variableURL, problems config.Problems) {
	names, from := s.urls, "--url"
	if len(names) == 0 && !haveFile {
		names, from = strings.Fields(p.variable(urlsVariable)), urlsVariable
		if len(names) == 0 && p.variable(defaultURLVariable) != "" {
			names = []string{defaultURLVariable}
		}
	}
	known := make(map[string]bool)
	for _, name := range names {
		if known[name] {
			continue // it would get a second pool
		}
		known[name] = true
		switch text := p.variable(name); {
		case strings.Contains(name, ":"):
			// It is likely a URL, with a password in it.
			problems = append(problems, config.Problem{
				File: from, Message: "wants the name of an environment variable that holds a URL, such as " + defaultURLVariable,
			})
		case text == "":
			problems = append(problems, config.Problem{Message: fmt.Sprintf("%s: the environment variable %s isn't set", from, name)})
		default:
			urls = append(urls, variableURL{name, text})
		}
	}
	return urls, problems
}

// addURLs adds a database for each URL: a single one is the fallback "*", of
// several each has the name that its URL has.
func addURLs(c *config.Config, urls []variableURL) (list []*sidecar.URL, problems config.Problems) {
	if len(urls) == 1 {
		return nil, problemsOf(urls[0].variable, c.AddURL(urls[0].text))
	}
	for _, u := range urls {
		d, err := config.ParseURL(u.text)
		problems = append(problems, problemsOf(u.variable, err)...)
		list = append(list, &sidecar.URL{Variable: u.variable, Server: d})
	}
	if len(problems) > 0 {
		return nil, problems
	}
	for i, identity := range sidecar.Identities(list) {
		list[i].Server.Name = identity.Database
		c.AddDatabase(list[i].Server)
	}
	return list, nil
}

// admitUsers lets the users of several URLs in, each with the URL's password and
// to the databases of the URLs that have that user: what the others lead to has
// its own user's rights. Those that users has are left to it.
func admitUsers(c *config.Config, urls []*sidecar.URL, users map[string]string) (problems config.Problems) {
	c.StaticUsers = make(map[string]string, len(urls))
	for _, u := range urls {
		user, password := u.Server.User, u.Server.Password
		if _, listed := users[user]; listed {
			continue
		}
		known, twice := c.StaticUsers[user]
		switch {
		case password == "" && len(users) == 0:
			problems = append(problems, config.Problem{
				File: u.Variable, Message: "has no password that clients could log in with: say in " + userListVariable + " who they are",
			})
		case twice && known != password:
			problems = append(problems, config.Problem{
				File: u.Variable, Message: fmt.Sprintf("has another password for the user %q than a URL before it: say in %s which one clients use", user, userListVariable),
			})
		case password != "":
			c.StaticUsers[user] = password
		}
	}
	c.Confined = make(map[string][]string, len(c.StaticUsers))
	for _, u := range urls {
		if _, admitted := c.StaticUsers[u.Server.User]; admitted {
			c.Confined[u.Server.User] = append(c.Confined[u.Server.User], u.Server.Name)
		}
	}
	return problems
}
