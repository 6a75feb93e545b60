package sidecar

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"carpool/config"
)

// serverSide are libpq's variables that say how a server proves who it is and what is demanded of it: they are heeded between
// carpool and the server, and would keep the application from connecting to carpool.
func serverSide() []string {
	return []string{
		"PGSSLROOTCERT", "PGSSLCERT", "PGSSLKEY", "PGSSLCRL", "PGSSLCRLDIR", "PGCHANNELBINDING", "PGREQUIREAUTH", "PGREQUIREPEER",
		"PGSSLCERTMODE", "PGSSLMINPROTOCOLVERSION", "PGSSLMAXPROTOCOLVERSION", "PGREQUIRESSL", "PGGSSENCMODE", "PGTARGETSESSIONATTRS",
		"PGLOADBALANCEHOSTS",
	}
}

// forLibpq is what becomes of libpq's variables: values that they get, and those that are not to be there. The ones that name a
// database of ours lead to carpool afterwards, and nothing is demanded that carpool can't offer. The ones that name another
// database stay as they are; extras are then what our URLs have to say if the variables demand too much. secrets are the real
// passwords.
func (p *Plan) forLibpq(urls []*URL, identities []Identity, door Door, secrets map[string]string) (values map[string]string, without, extras []string, notes []Note) {
	values = make(map[string]string)
	chosen := slices.IndexFunc(urls, p.libpqMeans)
	elsewhere := chosen < 0 && p.libpqNames()
	if _, ours := secrets[p.environ.Value("PGPASSWORD")]; ours && !p.leaves("PGPASSWORD") && !(elsewhere && p.options.KeepDirect) {
		values["PGPASSWORD"] = door.Password
		if elsewhere {
			notes = append(notes, Note{Warning: true, Text: "PGPASSWORD is also the password of a URL and is replaced, so the database that PGHOST and its companions name can't be reached with it: --keep PGPASSWORD leaves it as it is"})
		}
	}
	if elsewhere {
		extras, more := p.besideOthers()
		return values, nil, extras, append(notes, more...)
	}
	without = serverSide()
	if mode := p.environ.Value("PGSSLMODE"); strings.HasPrefix(mode, "verify-") {
		values["PGSSLMODE"] = config.SSLRequire.String()
		notes = append(notes, Note{Text: "PGSSLMODE=" + mode + " holds between carpool and the server; the command gets PGSSLMODE=require, as the certificate that carpool shows it is made anew at each start"})
	}
	if chosen >= 0 {
		values["PGHOST"], values["PGPORT"] = cmp.Or(door.SocketDir, door.Host), door.Port
		values["PGUSER"], values["PGPASSWORD"] = identities[chosen].User, door.Password
		values["PGDATABASE"] = identities[chosen].Database
		without = append(without, "PGHOSTADDR")
	}
	return values, without, nil, notes
}

// besideOthers is what our URLs have to say where libpq's variables are about another database and demand more than carpool can
// offer.
func (p *Plan) besideOthers() (extras []string, notes []Note) {
	who := "PGHOST and its companions name"
	service := p.environ.Value("PGSERVICE") != ""
	if service {
		who = "PGSERVICE names" // and what it says in a file may be anything
	}
	demanding := slices.ContainsFunc(serverSide(), func(name string) bool { return p.environ.Value(name) != "" })
	if !service && !demanding && !strings.HasPrefix(p.environ.Value("PGSSLMODE"), "verify-") {
		return nil, nil
	}
	extras = []string{"sslmode=" + config.SSLDisable.String()}
	if p.environ.Value("PGCHANNELBINDING") == config.BindingRequire.String() {
		extras = append(extras, "channel_binding="+config.BindingDisable.String())
	}
	return extras, []Note{{
		Text: who + " another database and what belongs to it stays as it is; rewritten URLs say " + strings.Join(extras, " and ") +
			", as nothing leaves this machine between the command and carpool",
	}}
}

// libpqNames reports whether libpq's variables name a database.
func (p *Plan) libpqNames() bool {
	return slices.ContainsFunc([]string{"PGHOST", "PGHOSTADDR", "PGDATABASE", "PGUSER", "PGSERVICE"}, func(name string) bool { return p.environ.Value(name) != "" })
}

// libpqMeans reports whether libpq's variables name the database of a URL: at least one of them is set, and none says otherwise. A
// service counts more than the other variables, and what it says isn't known.
func (p *Plan) libpqMeans(u *URL) bool {
	if !p.libpqNames() || p.environ.Value("PGSERVICE") != "" {
		return false
	}
	agrees := func(name, with string) bool {
		value := p.environ.Value(name)
		return value == "" || value == with
	}
	return p.hostAgrees(u) && p.portAgrees(u) && agrees("PGDATABASE", u.Server.DBName) && agrees("PGUSER", u.Server.User)
}

// hostAgrees reports whether PGHOST is one of a URL's hosts, or all of them, or says nothing.
func (p *Plan) hostAgrees(u *URL) bool {
	value := p.environ.Value("PGHOST")
	names := strings.Split(value, ",")
	for i := range names {
		names[i] = commonName(names[i])
	}
	known := make([]string, len(u.Server.Hosts))
	for i, host := range u.Server.Hosts {
		known[i] = commonName(host)
	}
	return value == "" || slices.Equal(names, known) || len(names) == 1 && slices.Contains(known, names[0])
}

// portAgrees reports the same of PGPORT and a URL's ports.
func (p *Plan) portAgrees(u *URL) bool {
	value := p.environ.Value("PGPORT")
	ports := make([]string, len(u.Server.Hosts))
	for i := range ports {
		ports[i] = strconv.Itoa(u.port(i))
	}
	return value == "" || slices.Contains(ports, value) || value == strings.Join(ports, ",")
}
