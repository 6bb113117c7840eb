package config

import (
	"encoding/base64"
	"net/netip"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // the time zones, whatever the host has
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"

	"github.com/postrider-mta/postrider/internal/window"
)

// format is a kind of text: normalise returns its normal form, or false.
type format struct {
	expected  string
	normalise func(string) (string, bool)
}

// formats are the values of the tag "is".
func formats() map[string]format {
	return map[string]format{
		"hostname":       {`a fully qualified host name such as "mail.example.com"`, hostname},
		"domain":         {`a domain such as "example.com"`, domain},
		"address":        {`an address such as "tls-reports@example.com"`, keep(isAddress)},
		"localpart":      {`a local part of a-z, 0-9, - and _ such as "complaints", and not "postmaster" or "abuse"`, keep(isLocalPart)},
		"feedbacksender": {`5 to 15 letters, digits, dots, hyphens and underscores`, keep(isFeedbackSender)},
		"match":          {`a domain such as "example.com", or "*"`, match},
		"selector":       {`a DKIM selector such as "s2026"`, selector},
		"name":           {`a name of up to 63 characters of a-z, 0-9, - and _`, keep(isName)},
		"username":       {`a user name of up to 255 characters without spaces`, keep(isUsername)},
		"listen":         {`an address such as "127.0.0.1:2525", "[::1]:2525", ":2525" or "unix:/run/postrider/smtp.sock"`, listen},
		"hostport":       {`a host and port such as "relay.example.com:587"`, keep(isHostPort)},
		"proxy":          {`a proxy such as "socks5://proxy.example.com:1080" or "haproxy://10.0.0.1:5000"`, keep(isProxy)},
		"resolver":       {`the IP address and port of a name server such as "127.0.0.1:53"`, keep(isAddrPort)},
		"ipv4":           {`an IPv4 address, or "" for the system's choice`, nil},
		"ipv6":           {`an IPv6 address, or "" for the system's choice`, nil},
		"baseurl":        {`a URL such as "https://t.example.com", without path`, baseURL},
		"url":            {`a URL such as "https://acme.example.com/directory"`, keep(isURL)},
		"argon2id":       {`an argon2id hash ("$argon2id$v=19$...")`, keep(func(s string) bool { return checkArgon2id(s) == "" })},
		"utm":            {`query parameters such as "utm_source=shop&utm_campaign={campaign}"`, keep(isUTM)},
		"window":         {`a window such as "Mon-Fri 08:00-20:00" or "22:00-06:00"`, keep(isWindow)},
		"timezone":       {`a time zone such as "Europe/Berlin" or "UTC"`, keep(isTimeZone)},
		"line":           {`a line of up to 200 octets of UTF-8`, keep(isLine)},
		"folder":         {`the path of a folder`, nil},
		"path":           {`a path`, nil},
		"file":           {`the path of a file, or "${credentials}/NAME"`, nil},
		"hashfile":       {`the path of a file, or "${credentials}/NAME"`, nil},
	}
}

func keep(valid func(string) bool) func(string) (string, bool) {
	return func(s string) (string, bool) { return s, valid(s) }
}

// isLine accepts what may be shown to people.
func isLine(s string) bool {
	return len(s) <= 200 && utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}

// isAddress accepts no more than internal/mail.ParseAddress does.
func isAddress(s string) bool {
	local, host, found := strings.Cut(s, "@")
	plain := local != "" && len(local) <= 64 && strings.Trim(local, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_+") == ""
	_, fine := hostname(host)
	return found && plain && fine
}

// isUTM accepts no more than internal/account.ParseUTM does; a test compares
// them.
func isUTM(s string) bool {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._"
	const maxParameters, maxOctets = 16, 1024
	var names []string
	for pair := range strings.SplitSeq(s, "&") {
		name, value, ok := strings.Cut(pair, "=")
		value, err := url.QueryUnescape(value)
		if !ok || err != nil || name == "" || strings.Trim(name, letters) != "" || slices.Contains(names, name) ||
			!utf8.ValidString(value) || strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			return false
		}
		names = append(names, name)
	}
	return len(names) <= maxParameters && len(s) <= maxOctets
}

func isWindow(s string) bool {
	_, err := window.Parse([]string{s}, nil)
	return err == nil
}

// isTimeZone leaves out Local, which is another one on every host.
func isTimeZone(s string) bool {
	_, err := time.LoadLocation(s)
	return err == nil && s != "Local"
}

// text checks a string by its field's tags. Empty text is the way to leave a
// key that is not required unset; there is no empty window in a list of them.
func (d *decoder) text(n *node, tag reflect.StructTag) (value, wrong string) {
	if words := tag.Get("oneof"); words != "" {
		for word := range strings.FieldsSeq(words) {
			if n.text == word {
				return word, ""
			}
		}
		return "", "not " + quoted(n)
	}
	is := tag.Get("is")
	switch {
	case is == "folder":
		return d.filePath(n, nil)
	case n.text == "" && tag.Get("required") == "" && is != "window":
		return "", ""
	case is == "path":
		return d.filePath(n, nil)
	case is == "file":
		return d.filePath(n, checkReadable)
	}
	normalise := formats()[is].normalise
	if normalise == nil {
		return n.text, ""
	}
	value, ok := normalise(n.text)
	if !ok {
		if is == "argon2id" || is == "proxy" && strings.Contains(n.text, "@") {
			return "", "not what is here" // perhaps a password
		}
		return "", "not " + quoted(n)
	}
	if path, unix := cutUnix(value); is == "listen" && unix {
		value = "unix:" + absolute(d.problems.file, path)
	}
	return value, ""
}

func (d *decoder) secretFile(n *node, tag reflect.StructTag) (SecretFile, string) {
	if n.text == "" && tag.Get("required") == "" {
		return "", ""
	}
	check := checkSecret
	if tag.Get("is") == "hashfile" {
		check = checkHashFile
	}
	path, wrong := d.filePath(n, check)
	return SecretFile(path), wrong
}

// filePath expands ${credentials} and resolves relative paths. Load runs check
// on the path, where there is one.
func (d *decoder) filePath(n *node, check func(string) error) (path, wrong string) {
	path = n.text
	name, credential := strings.CutPrefix(path, "${credentials}/")
	switch {
	case credential && d.credentials == "":
		return "", "and $CREDENTIALS_DIRECTORY is not set (systemd sets it for LoadCredential=)"
	case credential && (name == "" || strings.Contains(name, "/") || name == ".."):
		return "", "not " + quoted(n)
	case credential:
		path = d.credentials + "/" + name
	case path == "", strings.Contains(path, "${"), strings.ContainsRune(path, 0):
		return "", "not " + quoted(n)
	default:
		path = absolute(d.problems.file, path)
	}
	if check != nil {
		d.files = append(d.files, fileReference{n.place, func() error { return check(path) }})
	}
	return path, ""
}

// domain accepts no more than internal/mail.ParseDomain does; a test compares
// them.
func domain(s string) (string, bool) {
	ascii := strings.ToLower(s)
	if strings.ContainsFunc(s, func(r rune) bool { return r >= 0x80 }) {
		var err error
		if ascii, err = idna.Lookup.ToASCII(s); err != nil || !utf8.ValidString(s) {
			return "", false
		}
	}
	ascii = strings.TrimSuffix(ascii, ".")
	if _, err := netip.ParseAddr(ascii); err == nil || len(ascii) > 253 {
		return "", false
	}
	for label := range strings.SplitSeq(ascii, ".") {
		if len(label) == 0 || len(label) > 63 || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" ||
			label[0] == '-' || label[len(label)-1] == '-' {
			return "", false
		}
	}
	return ascii, true
}

func hostname(s string) (string, bool) {
	name, ok := domain(s)
	return name, ok && strings.Contains(name, ".")
}

func match(s string) (string, bool) {
	if s == "*" {
		return s, true
	}
	return domain(s)
}

// selector is one or more labels below _domainkey (RFC 6376 section 3.1).
func selector(s string) (string, bool) { return domain(s) }

func isName(s string) bool {
	return s != "" && len(s) <= 63 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-_") == "" &&
		s[0] != '-' && s[0] != '_'
}

func isUsername(s string) bool {
	return s != "" && len(s) <= 255 && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f })
}

func cutUnix(address string) (path string, ok bool) { return strings.CutPrefix(address, "unix:") }

func listen(s string) (string, bool) {
	if path, ok := cutUnix(s); ok {
		return s, path != "" && !strings.ContainsRune(path, 0)
	}
	if port, ok := strings.CutPrefix(s, ":"); ok {
		return s, isPort(port, 0)
	}
	return s, isAddrPort(s)
}

func isAddrPort(s string) bool {
	_, err := netip.ParseAddrPort(s)
	return err == nil
}

func isPort(s string, least uint64) bool {
	port, err := strconv.ParseUint(s, 10, 16)
	return err == nil && port >= least && s[0] != '+'
}

func isHostPort(s string) bool {
	if isAddrPort(s) {
		return true
	}
	i := strings.LastIndexByte(s, ':')
	if i < 0 || !isPort(s[i+1:], 1) {
		return false
	}
	_, ok := domain(s[:i])
	return ok
}

// baseURL accepts scheme and host.
func baseURL(s string) (string, bool) {
	u, err := url.Parse(strings.TrimSuffix(s, "/"))
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.User != nil ||
		u.Path != "" || u.RawQuery != "" || u.Fragment != "" || u.Opaque != "" || strings.ContainsAny(s, "?#") {
		return "", false
	}
	if port := u.Port(); port != "" && !isPort(port, 1) || strings.HasSuffix(u.Host, ":") {
		return "", false
	}
	if addr, err := netip.ParseAddr(u.Hostname()); err == nil && addr.Zone() == "" {
		return u.Scheme + "://" + u.Host, true
	}
	if _, ok := domain(u.Hostname()); !ok {
		return "", false
	}
	return u.Scheme + "://" + strings.ToLower(u.Host), true
}

// isURL accepts a URL that can be asked, without credentials in it.
func isURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Hostname() != "" && u.User == nil && u.Fragment == ""
}

// checkArgon2id returns what is wrong with a hash in PHC string format.
func checkArgon2id(s string) string {
	parts := strings.Split(s, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" || parts[2] != "v=19" {
		return "format"
	}
	for i, name := range []string{"m=", "t=", "p="} {
		parameters := strings.Split(parts[3], ",")
		if len(parameters) != 3 || !strings.HasPrefix(parameters[i], name) {
			return "parameters"
		}
		if n, err := strconv.ParseUint(parameters[i][2:], 10, 32); err != nil || n == 0 {
			return "parameters"
		}
	}
	for _, part := range parts[4:] {
		if raw, err := base64.RawStdEncoding.DecodeString(part); err != nil || len(raw) < 8 {
			return "salt or hash"
		}
	}
	return ""
}
