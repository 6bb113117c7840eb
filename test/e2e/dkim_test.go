package e2e

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"path/filepath"
	"strings"

	"github.com/emersion/go-msgauth/dkim"

	"github.com/postrider-mta/postrider/test/harness"
)

// signs makes keys for a domain, publishes them and returns the lines that
// have the daemon sign with them.
func (w *world) signs(domain string) string {
	w.Helper()
	var lines strings.Builder
	for _, algorithm := range []string{"rsa", "ed25519"} {
		file := filepath.Join(w.dir, algorithm+".pem")
		out, err := harness.Run(w.ctx, suite.binary, "dkim", "keygen", domain, algorithm, "--algorithm", algorithm, "--out", file)
		if err != nil {
			w.Fatal(err)
		}
		printed := strings.Split(strings.TrimSpace(out), "\n")
		w.publish(printed[len(printed)-1])
		fmt.Fprintf(&lines, "[[dkim]]\ndomain = %q\nselector = %q\nkey = %q\n", domain, algorithm, file)
	}
	return lines.String()
}

// signatures counts the good and the bad signatures of a domain, verified by
// go-msgauth against the keys in the name server.
func (w *world) signatures(domain string, message []byte) (good, bad int, err error) {
	dialer := func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, w.dns.Addr())
	}
	resolver := &net.Resolver{PreferGo: true, Dial: dialer}
	lookup := func(name string) ([]string, error) { return resolver.LookupTXT(w.ctx, name) }
	verifications, err := dkim.VerifyWithOptions(bytes.NewReader(message), &dkim.VerifyOptions{LookupTXT: lookup})
	for _, v := range verifications {
		switch {
		case v.Domain != domain:
		case v.Err == nil:
			good++
		default:
			bad++
			err = v.Err
		}
	}
	return good, bad, err
}
