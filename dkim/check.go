package dkim

import (
	"bytes"
	"context"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
)

// LookupTXT asks DNS for the TXT records of a name, the strings of each joined.
// No records, or a net.DNSError that says not found, means that there are none;
// any other error that DNS gave no answer. net.Resolver has it.
type LookupTXT func(ctx context.Context, name string) ([]string, error)

// Finding is what was found of a published record.
type Finding string

const (
	// Missing: there is no record under the name.
	Missing Finding = "missing"
	// Several records: verifiers may take any of them or none.
	Several Finding = "several"
	// Malformed: the record does not follow RFC 6376 section 3.6.1.
	Malformed Finding = "malformed"
	// Revoked: p= is empty.
	Revoked Finding = "revoked"
	// Mismatch: the record holds another key.
	Mismatch Finding = "mismatch"
	// Restricted: h=, k= or s= keep verifiers from accepting our signatures.
	Restricted Finding = "restricted"
	// Testing: t=y tells verifiers to ignore the result; a warning.
	Testing Finding = "testing"
	// Strict: t=s forbids i= with a subdomain; harmless with our signatures; a
	// warning.
	Strict Finding = "strict"
)

// Problem is a finding with what to do about it in words.
type Problem struct {
	Finding Finding `json:"finding"`
	Text    string  `json:"text"`
}

// Report compares what is published with a key.
type Report struct {
	// Name that was asked for.
	Name string `json:"name"`
	// Want is the text to publish; Found what is published.
	Want     string    `json:"want"`
	Found    []string  `json:"found"`
	Problems []Problem `json:"problems,omitempty"`
}

// Verifies reports whether signatures of the key verify with what is
// published; warnings do not keep them from it.
func (r Report) Verifies() bool {
	return !slices.ContainsFunc(r.Problems, func(p Problem) bool {
		return p.Finding != Testing && p.Finding != Strict
	})
}

func (r *Report) add(finding Finding, format string, values ...any) {
	r.Problems = append(r.Problems, Problem{finding, fmt.Sprintf(format, values...)})
}

// CheckRecord compares the record that DNS has under Key.Name with key. An
// error means that DNS gave no answer, or that the key is invalid.
func CheckRecord(ctx context.Context, lookup LookupTXT, key Key) (Report, error) {
	want, err := Record(key)
	if err != nil {
		return Report{}, err
	}
	report := Report{Name: key.Name(), Want: want}
	report.Found, err = lookup(ctx, key.Name())
	var notFound *net.DNSError
	if err != nil && (!errors.As(err, &notFound) || !notFound.IsNotFound) {
		return report, fmt.Errorf("record %s: %w", key.Name(), err)
	}
	if len(report.Found) == 0 {
		report.add(Missing, "publish a TXT record at %s", key.Name())
		return report, nil
	}
	if len(report.Found) > 1 {
		report.add(Several, "%d TXT records at %s: keep one", len(report.Found), key.Name())
	}
	for _, text := range report.Found {
		report.compare(text, key)
	}
	return report, nil
}

// compare adds what is wrong with one published record.
func (r *Report) compare(text string, key Key) {
	tags, err := parseTags(text)
	if err != nil {
		r.add(Malformed, "the record at %s cannot be read: %v", r.Name, err)
		return
	}
	if version, ok := tags["v"]; ok && (version != "DKIM1" || !strings.HasPrefix(strings.TrimSpace(text), "v")) {
		r.add(Malformed, "v=%s: it must be DKIM1 and come first", version)
	}
	r.compareKey(tags, key)
	r.compareLimits(tags)
}

func (r *Report) compareKey(tags map[string]string, key Key) {
	published, ok := tags["p"]
	published = strings.Join(strings.Fields(published), "")
	octets, err := base64.StdEncoding.DecodeString(published)
	public, _ := publicKey(key)
	switch {
	case !ok:
		r.add(Malformed, "the record has no p=")
	case published == "":
		r.add(Revoked, "p= is empty: the key is revoked")
	case err != nil:
		r.add(Malformed, "p= is not base64")
	case !bytes.Equal(octets, public) && !bytes.Equal(octets, barePublicKey(key)):
		r.add(Mismatch, "the record holds another key")
	}
	kind, want := tags["k"], "rsa"
	if key.Algorithm() == Ed25519SHA256 {
		want = "ed25519"
	}
	if kind != want && (kind != "" || want != "rsa") {
		r.add(Restricted, "k=%s: the key needs k=%s", kind, want)
	}
}

// barePublicKey is RSAPublicKey, which some publish and verifiers take (RFC
// 6376 erratum 3017).
func barePublicKey(key Key) []byte {
	if public, ok := key.Signer.Public().(*rsa.PublicKey); ok {
		return x509.MarshalPKCS1PublicKey(public)
	}
	return nil
}

func (r *Report) compareLimits(tags map[string]string) {
	if hashes, ok := tags["h"]; ok && !slices.Contains(list(hashes), "sha256") {
		r.add(Restricted, "h=%s forbids sha256", hashes)
	}
	if services, ok := tags["s"]; ok && !slices.Contains(list(services), "*") && !slices.Contains(list(services), "email") {
		r.add(Restricted, "s=%s forbids e-mail", services)
	}
	flags := list(tags["t"])
	if slices.Contains(flags, "y") {
		r.add(Testing, "t=y: receivers treat mail as if it were not signed; remove it after the test")
	}
	if slices.Contains(flags, "s") {
		r.add(Strict, "t=s: signatures must not speak for subdomains with i=; ours have no i=")
	}
}

// list splits a colon-separated list.
func list(s string) []string {
	words := strings.Split(s, ":")
	for i, word := range words {
		words[i] = strings.TrimSpace(word)
	}
	return words
}

// parseTags reads a tag list (RFC 6376 section 3.2).
func parseTags(text string) (map[string]string, error) {
	tags := make(map[string]string)
	for part := range strings.SplitSeq(text, ";") {
		name, value, ok := strings.Cut(part, "=")
		name = strings.TrimSpace(name)
		_, twice := tags[name]
		switch {
		case !ok && name == "":
			continue
		case !ok || name == "":
			return nil, errors.New("a tag has no name or no =")
		case twice:
			return nil, errors.New("a tag occurs twice")
		}
		tags[name] = strings.TrimSpace(value)
	}
	if len(tags) == 0 {
		return nil, errors.New("it is empty")
	}
	return tags, nil
}
