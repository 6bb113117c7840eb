package submission

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"mime"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/emersion/go-smtp"

	"github.com/postrider-mta/postrider/internal/account"
	"github.com/postrider-mta/postrider/internal/spelling"
	"github.com/postrider-mta/postrider/mta/submission/foreign"
)

// controlPrefix begins the names of the control headers.
const controlPrefix = "X-Postrider-"

const (
	maxLabel    = 128 // characters of a campaign or tag
	maxTags     = 10
	maxMetadata = 4 << 10
	maxAhead    = 30 * 24 * time.Hour
)

// controls is what a message says about its own sending.
type controls struct {
	stream   account.Stream
	campaign string
	tags     []string
	metadata json.RawMessage
	track    account.Track
	measure  account.Measure
	utm      account.UTM
	pool     string
	sendAt   time.Time // zero for at once
	expiry   expiry
}

func isControl(f field) bool {
	return len(f.name) >= len(controlPrefix) && bytes.EqualFold(f.name[:len(controlPrefix)], []byte(controlPrefix))
}

func badControl(name, format string, args ...any) *refusal {
	return refuseControl("%s%s %s", controlPrefix, name, fmt.Sprintf(format, args...))
}

// refuseControl is badControl for text that names the header itself.
func refuseControl(format string, args ...any) *refusal {
	return refuse(550, smtp.EnhancedCode{5, 6, 0}, reasonControl, format, args...)
}

// controlNames are the headers there are, spelled as documented.
func controlNames() []string {
	return []string{"Stream", "Campaign", "Tag", "Metadata", "Track", "Track-Text", "Measure", "UTM", "Send-At", "Expires", "Pool"}
}

// written are the values of a message's own control headers, by their names as
// documented.
type written map[string][]string

// first is the value of a header that may be there once; empty for none.
func (w written) first(name string) string {
	if v := w[name]; len(v) > 0 {
		return v[0]
	}
	return ""
}

// parseControls reads the control headers of a sender's message. Whatever is
// wrong with one refuses the message: a slip must not send it otherwise than
// it was meant.
func parseControls(h header, who sender, now time.Time) (controls, error) {
	own := make(written)
	for _, f := range h.fields {
		if !isControl(f) {
			continue
		}
		name, err := controlName(string(f.name[len(controlPrefix):]))
		if err != nil {
			return controls{}, err
		}
		if len(own[name]) > 0 && name != "Tag" {
			return controls{}, badControl(name, "is there more than once")
		}
		value, err := decodeWords(f.unfolded())
		if err != nil || value == "" {
			return controls{}, badControl(name, "is empty or in an unknown character set")
		}
		own[name] = append(own[name], value)
	}
	others, err := readVendors(h, who.vendors)
	if err != nil {
		return controls{}, err
	}
	return readControls(own, others, who.tenant, now)
}

// readControls joins what a message's own headers and those of vendors say: its
// own win, save that nobody turns on what another turned off.
func readControls(own written, others foreign.Wishes, tenant account.Tenant, now time.Time) (c controls, err error) {
	if c.stream, err = chooseStream(tenant, own.first("Stream"), others.Streams); err != nil {
		return c, err
	}
	if c.campaign, c.tags, err = readLabels(own, others); err != nil {
		return c, err
	}
	if c.track, err = readTrack(own, others, c.stream); err != nil {
		return c, err
	}
	if c.measure, err = readMeasure(own); err != nil {
		return c, err
	}
	if c.utm, err = readUTM(own, others, c); err != nil {
		return c, err
	}
	if c.metadata, err = readMetadata(own, others); err != nil {
		return c, err
	}
	if c.sendAt, err = readSendAt(own, others, now); err != nil {
		return c, err
	}
	if v := own.first("Expires"); v != "" {
		if c.expiry, err = parseExpires(v); err != nil {
			return c, err
		}
	}
	c.pool, err = choosePool(tenant, own.first("Pool"), others.Pools)
	return c, err
}

// controlName finds the documented spelling, or says which may have been
// meant.
func controlName(written string) (string, error) {
	nearest, distance := "", 4
	for _, name := range controlNames() {
		if strings.EqualFold(name, written) {
			return name, nil
		}
		if d := editDistance(strings.ToLower(name), strings.ToLower(written)); d < distance {
			nearest, distance = name, d
		}
	}
	written = written[:min(len(written), 64)]
	if nearest != "" {
		return "", badControl(written, "is not known, did you mean %s%s?", controlPrefix, nearest)
	}
	return "", badControl(written, "is not known")
}

// editDistance is how far b is from a; a long word is far from everything.
func editDistance(a, b string) int {
	if len(b) > 2*maxLabel {
		return len(b)
	}
	return spelling.Distance(a, b)
}

// decodeWords decodes encoded-words (RFC 2047).
func decodeWords(value string) (string, error) {
	if !strings.Contains(value, "=?") {
		return value, nil
	}
	var decoder mime.WordDecoder
	return decoder.DecodeHeader(value)
}

// chooseStream takes the stream that is named, or the first of the vendors'
// names that is known here.
func chooseStream(tenant account.Tenant, name string, hints []string) (account.Stream, error) {
	if name == "" {
		for _, hint := range hints {
			if stream, ok := tenant.Streams[hint]; ok {
				return stream, nil
			}
		}
	}
	asked := name != ""
	if !asked {
		name = cmp.Or(tenant.DefaultStream, account.Transactional)
	}
	stream, ok := tenant.Streams[name]
	switch {
	case ok:
		return stream, nil
	case !asked:
		return account.Stream{}, refuse(451, smtp.EnhancedCode{4, 3, 5}, reasonPolicy, "the account has no default stream, try again later")
	}
	names := make([]string, 0, len(tenant.Streams))
	for known := range tenant.Streams {
		names = append(names, known)
	}
	slices.Sort(names)
	return account.Stream{}, badControl("Stream", "names no stream of yours; there are %s", strings.Join(names, ", "))
}

func choosePool(tenant account.Tenant, name string, hints []string) (string, error) {
	if name == "" {
		for _, hint := range hints {
			if slices.Contains(tenant.Pools, hint) {
				return hint, nil
			}
		}
		return "", nil
	}
	if !slices.Contains(tenant.Pools, name) {
		return "", badControl("Pool", "names no pool that you may use; there are %s", cmp.Or(strings.Join(tenant.Pools, ", "), "none"))
	}
	return name, nil
}

// checkLabel checks a campaign or tag; the header's name begins the refusal.
func checkLabel(name, label string) error {
	if !utf8.ValidString(label) || strings.ContainsFunc(label, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return refuseControl("%s holds something other than printable UTF-8", name)
	}
	if n := utf8.RuneCountInString(label); n > maxLabel {
		return refuseControl("%s has %d characters, %d are allowed", name, n, maxLabel)
	}
	return nil
}

func checkTags(name string, tags []string) ([]string, error) {
	if len(tags) > maxTags {
		return nil, refuseControl("%s is there %d times, %d are allowed", name, len(tags), maxTags)
	}
	for _, tag := range tags {
		if err := checkLabel(name, tag); err != nil {
			return nil, err
		}
	}
	return tags, nil
}

func parseMetadata(value string) (json.RawMessage, error) {
	if len(value) > maxMetadata {
		return nil, badControl("Metadata", "has %d octets, %d are allowed", len(value), maxMetadata)
	}
	if !utf8.ValidString(value) {
		return nil, badControl("Metadata", "is not UTF-8")
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, []byte(value)); err != nil {
		return nil, badControl("Metadata", "is not JSON: %s", err)
	}
	if compact.Bytes()[0] != '{' {
		return nil, badControl("Metadata", "is JSON, but not an object")
	}
	return compact.Bytes(), nil
}

// parseSendAt reads RFC 3339, RFC 5322 or Unix seconds. What is past is sent
// at once.
func parseSendAt(value string, now time.Time) (time.Time, error) {
	at, err := parseDate(value)
	switch {
	case err != nil:
		return time.Time{}, badControl("Send-At", "is no date of RFC 3339 or RFC 5322 and no Unix seconds")
	case at.After(now.Add(maxAhead)):
		return time.Time{}, badControl("Send-At", "is more than 30 days ahead")
	case !at.After(now):
		return time.Time{}, nil
	}
	return at.UTC(), nil
}
