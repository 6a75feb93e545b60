package proxy

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"

	"carpool/config"
	"carpool/proxy/startup"
	"carpool/proxy/upstream"
)

// loadClientTLS is what clients are offered, nil if it is nothing.
func (n *settings) loadClientTLS() (*tls.Config, error) {
	t := n.ClientTLS
	if t.Mode == config.SSLDisable {
		return nil, nil
	}
	if t.CertFile == "" || t.KeyFile == "" {
		return nil, fmt.Errorf("client_tls_sslmode = %s needs client_tls_cert_file and client_tls_key_file", t.Mode)
	}
	cert, err := n.readPair(t.CertFile, t.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("client_tls_cert_file and client_tls_key_file: %w", err)
	}
	cfg := &tls.Config{
		Certificates: []tls.Certificate{cert},
		NextProtos:   []string{"postgresql"},
		MinVersion:   max(t.Protocols.Min, tls.VersionTLS12),
		MaxVersion:   t.Protocols.Max,
	}
	if t.CAFile != "" {
		if cfg.ClientCAs, err = n.readCAs(t.CAFile); err != nil {
			return nil, fmt.Errorf("client_tls_ca_file: %w", err)
		}
		cfg.ClientAuth = tls.VerifyClientCertIfGiven
	}
	if t.Mode >= config.SSLVerifyCA {
		if cfg.ClientCAs == nil {
			return nil, fmt.Errorf("client_tls_sslmode = %s needs client_tls_ca_file", t.Mode)
		}
		cfg.ClientAuth = tls.RequireAndVerifyClientCert
	}
	return cfg, nil
}

// startupTLS is how the way in treats TLS under a mode.
func startupTLS(mode config.SSLMode) startup.TLSMode {
	switch {
	case mode == config.SSLDisable:
		return startup.TLSDisable
	case mode < config.SSLRequire:
		return startup.TLSAllow
	}
	return startup.TLSRequire
}

// loadServerTLS makes what servers are connected to with, once for all
// databases that ask for the same.
func (n *settings) loadServerTLS(t config.TLS) error {
	if _, ok := n.serverTLS[t]; ok {
		return nil
	}
	u := serverTLS{
		TLS: upstream.TLS{
			Mode: upstreamMode(t.Mode), ChannelBinding: upstreamBinding(t.ChannelBinding), MinVersion: t.Protocols.Min, MaxVersion: t.Protocols.Max,
		},
		print: tlsPrint{settings: t},
	}
	if t.Mode == config.SSLDisable {
		n.serverTLS[t] = u
		return nil
	}
	if t.CAFile != "" && t.CAFile != "system" {
		pool, err := n.readCAs(t.CAFile)
		if err != nil {
			return fmt.Errorf("server_tls_ca_file: %w", err)
		}
		u.CA = pool
		u.print.ca = n.files[t.CAFile]
	}
	if t.CertFile != "" {
		cert, err := n.readPair(t.CertFile, t.KeyFile)
		if err != nil {
			return fmt.Errorf("server_tls_cert_file and server_tls_key_file: %w", err)
		}
		u.Certificates = []tls.Certificate{cert}
		u.print.cert, u.print.key = n.files[t.CertFile], n.files[t.KeyFile]
	}
	n.serverTLS[t] = u
	return nil
}

func upstreamMode(mode config.SSLMode) upstream.TLSMode {
	switch mode {
	case config.SSLAllow:
		return upstream.TLSAllow
	case config.SSLPrefer:
		return upstream.TLSPrefer
	case config.SSLRequire:
		return upstream.TLSRequire
	case config.SSLVerifyCA:
		return upstream.TLSVerifyCA
	case config.SSLVerifyFull:
		return upstream.TLSVerifyFull
	}
	return upstream.TLSDisable
}

func upstreamBinding(b config.ChannelBinding) upstream.ChannelBinding {
	switch b {
	case config.BindingRequire:
		return upstream.BindingRequire
	case config.BindingDisable:
		return upstream.BindingDisable
	}
	return upstream.BindingPrefer
}

// readPair reads a certificate and its key.
func (n *settings) readPair(certFile, keyFile string) (tls.Certificate, error) {
	cert, err := n.read(certFile)
	if err != nil {
		return tls.Certificate{}, err
	}
	key, err := n.read(keyFile)
	if err != nil {
		return tls.Certificate{}, err
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("%s and %s: %w", certFile, keyFile, err)
	}
	return pair, nil
}

func (n *settings) readCAs(file string) (*x509.CertPool, error) {
	pem, err := n.read(file)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, errors.New(file + " holds no certificate")
	}
	return pool, nil
}
