package pooler

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"carpool/bench/pgserver"
)

// program is the program's name for the unprivileged user: a copy when it lies where we may look but that user may not.
func (r *Running) program() (string, error) {
	path, err := exec.LookPath(r.Product.command[0])
	if err != nil {
		return "", err
	}
	if path, err = filepath.Abs(path); err != nil {
		return "", err
	}
	if r.place.owner.Reaches(filepath.Dir(path)) {
		return path, nil
	}
	copied := filepath.Join(r.place.dir, r.Product.Name)
	return copied, r.copyFile(path, copied, 0o700)
}

// copyFile makes a copy that belongs to the pooler's user.
func (r *Running) copyFile(from, to string, mode os.FileMode) error {
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer source.Close()
	target, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(target, source)
	if err := errors.Join(err, target.Close()); err != nil {
		return fmt.Errorf("copying %s: %w", from, err)
	}
	return r.place.owner.Give(to)
}

// firstInherited is the descriptor of the first inherited file: the standard ones come before.
const firstInherited = 3

// hide gives the process a secret, and returns under which name: of an inherited file that is in no directory, or, on systems
// that don't have those, of a file in ours.
func (r *Running) hide(path, text string) (string, error) {
	file, err := r.place.secretFile(text)
	if err != nil {
		return "", err
	}
	if file == nil {
		return path, r.writeFile(path, text)
	}
	r.inherited = append(r.inherited, file)
	return inheritedPath(len(r.inherited) - 1), nil
}

// writeFile writes a file that belongs to the pooler's user.
func (r *Running) writeFile(path, text string) error {
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return err
	}
	return r.place.owner.Give(path)
}

// writeFiles writes the configuration, the file of users, and certificates.
func (r *Running) writeFiles() error {
	if !r.Settings.Trust {
		r.password = rand.Text()
	}
	settings := r.Settings // as the pooler's user sees it
	for name, file := range map[string]*string{"server-ca.crt": &settings.Server.SSLRootCert, "client.crt": &settings.Server.SSLCert} {
		if *file == "" || *file == "system" {
			continue
		}
		copied := filepath.Join(r.place.dir, name)
		if err := r.copyFile(*file, copied, 0o600); err != nil {
			return err
		}
		*file = copied
	}
	if settings.Server.SSLKey != "" {
		key, err := os.ReadFile(settings.Server.SSLKey)
		if err != nil {
			return fmt.Errorf("reading the client's key: %w", err)
		}
		if settings.Server.SSLKey, err = r.hide(filepath.Join(r.place.dir, "client.key"), string(key)); err != nil {
			return err
		}
	}
	if r.Settings.TLS {
		if err := r.certify(); err != nil {
			return err
		}
	}
	user := quoteUser(settings.Server.User) + " " + quoteUser(r.password)
	if err := r.writeFile(r.place.users(), user+"\n"); err != nil {
		return err
	}
	lines := settings.lines(r.place, r.port, r.Product.KeepsPrepared())
	var err error
	r.place.configuration, err = r.hide(r.place.configurationFile(), strings.Join(lines, "\n")+"\n")
	return err
}

// certify makes a certificate for this pooler alone.
func (r *Running) certify() error {
	authority, err := pgserver.NewAuthority(r.place.dir)
	if err != nil {
		return err
	}
	pair, err := authority.Issue(certificate, "localhost", "127.0.0.1")
	if err != nil {
		return err
	}
	return errors.Join(r.place.owner.Give(pair.Cert), r.place.owner.Give(pair.Key))
}

// closeSecrets leaves the secrets to the process alone.
func (r *Running) closeSecrets() {
	for _, file := range r.inherited[1:] {
		_ = file.Close() // it was only in memory
	}
	r.inherited = r.inherited[:1]
}
