package proxy

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"slices"

	"carpool/config"
	"carpool/proxy/auth"
	"carpool/proxy/startup"
	"carpool/proxy/upstream"
)

// settings are a configuration with all that was made of it when it was taken
// on. They never change: a reload makes new ones, and who needs several values
// that belong together reads them from the same settings.
type settings struct {
	*config.Config
	startup   *startup.Options
	method    auth.Method
	hba       *auth.HBA // with auth_type = hba
	userList  *auth.Users
	openUsers string // who may read or write auth_file that shouldn't; "" is nobody
	static    map[string]auth.Secret
	clientTLS *tls.Config // nil: clients aren't offered TLS
	serverTLS map[config.TLS]serverTLS
	// extraLogins may be under way besides those for which there is room.
	extraLogins int
	files       map[string]fileSum // of every file that was read
	replaced    chan struct{}      // closed when others are in force
}

// fileSum tells whether a file holds what it held before.
type fileSum [sha256.Size]byte

// serverTLS is how servers are connected to, and what that was made of.
type serverTLS struct {
	upstream.TLS
	print tlsPrint
}

// tlsPrint is the same for two server sides of TLS only if they are alike, down
// to the contents of their files.
type tlsPrint struct {
	settings      config.TLS
	ca, cert, key fileSum
}

var methods = map[config.AuthType]auth.Method{
	config.AuthAny: auth.Any, config.AuthTrust: auth.Trust, config.AuthPlain: auth.Plain,
	config.AuthMD5: auth.MD5, config.AuthSCRAMSHA256: auth.SCRAM, config.AuthCert: auth.Cert,
}

// loadSettings reads the files that the configuration names. What costs much to
// make is taken over from before, which may be nil, as far as it is the same.
// The error says which setting it is about and where that was given.
func loadSettings(c *config.Config, before *settings, log *slog.Logger) (*settings, error) {
	n, problems := readSettings(c, before, log)
	if len(problems) > 0 {
		return nil, problems[0]
	}
	return n, nil
}

// Check reads the files that a configuration names, as New does, and returns
// all that is wrong with them. It opens no socket, and connects to nobody.
func Check(c *config.Config, log *slog.Logger) []error {
	_, problems := readSettings(c, nil, log)
	return problems
}

// readSettings is loadSettings that goes on after a problem, to find them all.
func readSettings(c *config.Config, before *settings, log *slog.Logger) (n *settings, problems []error) {
	if before == nil {
		before = &settings{Config: c}
	}
	n = &settings{
		Config: c,
		startup: &startup.Options{
			TLS: startupTLS(c.ClientTLS.Mode), DirectTLS: true, MaxPacket: c.MaxStartupPacketSize,
			IgnoreOptions: containsFold(c.IgnoreStartupParameters, "options"),
		},

		extraLogins: extraLogins(c, descriptorLimit()),
		static:      make(map[string]auth.Secret, len(c.StaticUsers)),
		serverTLS:   make(map[config.TLS]serverTLS),
		files:       make(map[string]fileSum),
		replaced:    make(chan struct{}),
	}
	found := func(where string, err error) {
		problems = append(problems, at(where, err))
	}
	var ok bool
	if n.method, ok = methods[c.AuthType]; !ok && c.AuthType != config.AuthHBA {
		found(c.Where("auth_type"), fmt.Errorf("auth_type = %s isn't built yet", c.AuthType))
	}
	for name, secret := range c.StaticUsers {
		if known, ok := before.static[name]; ok && before.StaticUsers[name] == secret {
			n.static[name] = known
		} else {
			n.static[name] = auth.ParseSecret(secret)
		}
	}
	if err := n.loadUsers(before, log); err != nil {
		found(c.Where("auth_file"), fmt.Errorf("auth_file: %w", err))
	}
	if err := n.loadRules(); err != nil {
		found("", err)
	}
	var err error
	if n.clientTLS, err = n.loadClientTLS(); err != nil {
		found(cmp.Or(c.Where("client_tls_cert_file"), c.Where("client_tls_sslmode")), err)
	}
	for _, d := range c.Databases {
		t := c.Resolve(d, d.User).ServerTLS
		if err := n.loadServerTLS(t); err != nil {
			where := d.Where()
			if t == c.ServerTLS {
				where = cmp.Or(c.Where("server_tls_ca_file"), c.Where("server_tls_cert_file"), where)
			}
			found(where, fmt.Errorf("database %s: %w", d.Name, err))
		}
	}
	return n, problems
}

// at puts the place of a setting, if it is known, before what is wrong with it.
func at(place string, err error) error {
	if place == "" {
		return err
	}
	return fmt.Errorf("%s: %w", place, err)
}

// read reads a file and notes what it holds.
func (n *settings) read(name string) ([]byte, error) {
	content, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	n.files[name] = sha256.Sum256(content)
	return content, nil
}

// loadUsers reads auth_file. An unchanged list is taken over: it remembers the
// keys that were derived from its passwords.
func (n *settings) loadUsers(before *settings, log *slog.Logger) error {
	name := n.AuthFile
	if name == "" {
		return nil
	}
	content, err := n.read(name)
	if err != nil {
		return err
	}
	if info, err := os.Stat(name); err == nil {
		if err := auth.CheckMode(name, info.Mode()); err != nil {
			n.openUsers = err.Error()
		}
	}
	if n.openUsers != "" && n.openUsers != before.openUsers {
		log.Warn(n.openUsers) // once, until it is another one
	}
	if before.userList != nil && before.AuthFile == name && before.files[name] == n.files[name] {
		n.userList = before.userList
		return nil
	}
	n.userList, err = auth.LoadUsers(bytes.NewReader(content), name)
	return err
}

// loadRules reads auth_hba_file, and the maps that it refers to.
func (n *settings) loadRules() error {
	if n.AuthType != config.AuthHBA {
		return nil
	}
	var maps *auth.NameMaps
	if name := n.AuthIdentFile; name != "" {
		content, err := n.read(name)
		if err == nil {
			maps, err = auth.LoadNameMaps(content, name)
		}
		if err != nil {
			return at(n.Where("auth_ident_file"), fmt.Errorf("auth_ident_file: %w", err))
		}
	}
	content, err := n.read(n.AuthHBAFile)
	if err == nil {
		n.hba, err = auth.LoadHBA(content, n.AuthHBAFile, maps, n.read)
	}
	if err != nil {
		return at(n.Where("auth_hba_file"), fmt.Errorf("auth_hba_file: %w", err))
	}
	return nil
}

// lookup finds a user's secret.
func (n *settings) lookup(user string) (auth.Secret, bool) {
	if s, ok := n.static[user]; ok {
		return s, true
	}
	return n.userList.Lookup(user)
}

// ignored reports whether a start-up parameter is to be dropped.
func (n *settings) ignored(name string) bool {
	return len(n.IgnoreStartupParameters) > 0 && containsFold(n.IgnoreStartupParameters, name)
}

// changedFiles are the files that hold something else than they did before,
// sorted.
func (n *settings) changedFiles(before *settings) []string {
	var names []string
	for name, sum := range n.files {
		if was, known := before.files[name]; known && was != sum {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
