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
// database stay as they are; encrypt is then the sslmode that our URLs have to carry if the variables demand too much.
func (p *Plan) forLibpq(urls []*URL, identities []Identity, door Door) (values map[string]string, without []string, encrypt string, notes []string) {
	values = make(map[string]string)
	mode := p.environ.Value("PGSSLMODE")
	verifies := strings.HasPrefix(mode, "verify-")
	chosen := slices.IndexFunc(urls, p.libpqMeans)
	if chosen < 0 && p.libpqNames() {
		demanding := slices.ContainsFunc(serverSide(), func(name string) bool { return p.environ.Value(name) != "" })
		if !verifies && !demanding {
			return values, nil, "", nil
		}
		encrypt = config.SSLDisable.String()
		return values, nil, encrypt, []string{
			"PGHOST and its companions name another database and stay as they are; rewritten URLs say sslmode=" + encrypt +
				", as nothing leaves this machine between the command and carpool",
		}
	}
	without = serverSide()
	if verifies {
		values["PGSSLMODE"] = config.SSLRequire.String()
		notes = append(notes, "PGSSLMODE="+mode+" holds between carpool and the server; the command gets PGSSLMODE=require, as the certificate that carpool shows it is made anew at each start")
	}
	if chosen >= 0 {
		values["PGHOST"], values["PGPORT"] = cmp.Or(door.SocketDir, door.Host), door.Port
		values["PGUSER"], values["PGPASSWORD"] = identities[chosen].User, door.Password
		values["PGDATABASE"] = identities[chosen].Database
		without = append(without, "PGHOSTADDR")
	}
	return values, without, "", notes
}

// libpqNames reports whether libpq's variables name a database.
func (p *Plan) libpqNames() bool {
	return slices.ContainsFunc([]string{"PGHOST", "PGHOSTADDR", "PGDATABASE", "PGUSER"}, func(name string) bool { return p.environ.Value(name) != "" })
}

// libpqMeans reports whether libpq's variables name the database of a URL: at least one of them is set, and none says otherwise.
func (p *Plan) libpqMeans(u *URL) bool {
	d := u.Server
	ports := make([]string, 0, len(d.Ports))
	for _, port := range d.Ports {
		ports = append(ports, strconv.Itoa(port))
	}
	if len(ports) == 0 {
		ports = []string{strconv.Itoa(defaultPort)}
	}
	agrees := func(name string, with ...string) bool {
		value := p.environ.Value(name)
		return value == "" || slices.Contains(with, value)
	}
	return p.libpqNames() && agrees("PGHOST", append(slices.Clone(d.Hosts), strings.Join(d.Hosts, ","))...) &&
		agrees("PGPORT", append(ports, strings.Join(ports, ","))...) && agrees("PGDATABASE", d.DBName) && agrees("PGUSER", d.User)
}
