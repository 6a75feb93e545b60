package proxy

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"

	"carpool/config"
	"carpool/proxy/startup"
	"carpool/proxy/upstream"
)

// clientTLSConfig is what clients are offered, nil if it is nothing.
func clientTLSConfig(t config.TLS) (*tls.Config, error) {
	if t.Mode == config.SSLDisable {
		return nil, nil
	}
	if t.CertFile == "" || t.KeyFile == "" {
		return nil, fmt.Errorf("client_tls_sslmode = %s needs client_tls_cert_file and client_tls_key_file", t.Mode)
	}
	cert, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
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
		if cfg.ClientCAs, err = loadCAs(t.CAFile); err != nil {
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

// serverTLSConfig is how servers of a database are connected to.
func serverTLSConfig(t config.TLS) (upstream.TLS, error) {
	u := upstream.TLS{Mode: upstreamMode(t.Mode), MinVersion: t.Protocols.Min, MaxVersion: t.Protocols.Max}
	if t.Mode == config.SSLDisable {
		return u, nil
	}
	if t.CAFile != "" && t.CAFile != "system" {
		pool, err := loadCAs(t.CAFile)
		if err != nil {
			return u, fmt.Errorf("server_tls_ca_file: %w", err)
		}
		u.CA = pool
	}
	if t.CertFile != "" {
		cert, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
		if err != nil {
			return u, fmt.Errorf("server_tls_cert_file and server_tls_key_file: %w", err)
		}
		u.Certificates = []tls.Certificate{cert}
	}
	return u, nil
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

func loadCAs(file string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, errors.New(file + " holds no certificate")
	}
	return pool, nil
}
