package submission

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/postrider-mta/postrider/internal/account"
	"github.com/postrider-mta/postrider/mta/submission/foreign"
)

// vendors stands for their header in a refusal of what several may have said.
const vendors = "a vendor's control header"

func isVendors(f field) bool {
	return len(f.name) > 0 && f.name[0]|0x20 == 'x' && foreign.Is(string(f.name))
}

// readVendors reads the control headers of the vendors that are enabled.
func readVendors(h header, enabled []string) (foreign.Wishes, error) {
	if len(enabled) == 0 {
		return foreign.Wishes{}, nil
	}
	var fields []foreign.Field
	for _, f := range h.fields {
		if !isVendors(f) {
			continue
		}
		value, err := decodeWords(f.unfolded())
		if err != nil {
			return foreign.Wishes{}, refuseControl("%.64s is in an unknown character set", f.name)
		}
		fields = append(fields, foreign.Field{Name: string(f.name), Value: value})
	}
	wishes, err := foreign.Read(fields, enabled)
	if err != nil {
		return wishes, refuseControl("%s", err)
	}
	return wishes, nil
}

func readLabels(own written, others foreign.Wishes) (campaign string, tags []string, err error) {
	name := controlPrefix + "Campaign"
	if campaign = own.first("Campaign"); campaign == "" {
		campaign, name = others.Campaign, vendors
	}
	if campaign != "" {
		if err := checkLabel(name, campaign); err != nil {
			return "", nil, err
		}
	}
	name = controlPrefix + "Tag"
	if tags = own["Tag"]; len(tags) == 0 {
		tags, name = others.Tags, vendors
	}
	tags, err = checkTags(name, tags)
	return campaign, tags, err
}

// readTrack decides what is measured: what any header turns off is off, then the
// message's own headers count, then those of vendors, then the stream.
func readTrack(own written, others foreign.Wishes, stream account.Stream) (account.Track, error) {
	opens, clicks, text := foreign.Unsaid, foreign.Unsaid, foreign.Unsaid
	if v := own.first("Track"); v != "" {
		track, err := account.ParseTrack(v)
		if err != nil {
			return 0, badControl("Track", "is not none, opens, clicks or all")
		}
		opens, clicks = said(track&account.TrackOpens != 0), said(track&account.TrackClicks != 0)
	}
	if v := own.first("Track-Text"); v != "" {
		if !strings.EqualFold(v, "yes") && !strings.EqualFold(v, "no") {
			return 0, badControl("Track-Text", "is not yes or no")
		}
		text = said(strings.EqualFold(v, "yes"))
	}
	var track account.Track
	if decide(opens, others.Opens, stream.Track&account.TrackOpens != 0) {
		track |= account.TrackOpens
	}
	if decide(clicks, others.Clicks, stream.Track&account.TrackClicks != 0) {
		track |= account.TrackClicks
	}
	// Links in plain text alone are something that only vendors' headers know.
	only := others.Text == foreign.On && clicks != foreign.Off
	if decide(text, others.Text, stream.Track&account.TrackText != 0) && (track&account.TrackClicks != 0 || only) {
		track |= account.TrackText
	}
	return track, nil
}

// readMeasure returns what the message allows; tenant, stream and reader may
// allow less.
func readMeasure(own written) (account.Measure, error) {
	v := own.first("Measure")
	if v == "" {
		return account.MeasureIndividual, nil
	}
	measure, err := account.ParseMeasure(v)
	if err != nil {
		return measure, badControl("Measure", "is not individual, aggregate, hygiene or none")
	}
	return measure, nil
}

func said(on bool) foreign.Switch {
	if on {
		return foreign.On
	}
	return foreign.Off
}

// decide lets off win, then on, then the rule of the stream.
func decide(own, others foreign.Switch, rule bool) bool {
	switch {
	case own == foreign.Off || others == foreign.Off:
		return false
	case own == foreign.On || others == foreign.On:
		return true
	}
	return rule
}

// readUTM takes the parameters of links from the message, from a vendor's
// header, or from the stream.
func readUTM(own written, others foreign.Wishes, c controls) (account.UTM, error) {
	utm := c.stream.UTM
	switch v := own.first("UTM"); {
	case strings.EqualFold(v, "off"):
		return nil, nil
	case v != "":
		var err error
		if utm, err = account.ParseUTM(v); err != nil {
			return nil, badControl("UTM", "cannot be read: %s, or off", err)
		}
	case len(others.UTM) > 0:
		utm = others.UTM
	}
	tag := ""
	if len(c.tags) > 0 {
		tag = c.tags[0]
	}
	utm = utm.Fill(c.campaign, c.stream.Name, tag)
	if _, err := account.ParseUTM(utm.String()); err != nil && len(utm) > 0 {
		return nil, refuseControl("the parameters for links are too long or malformed")
	}
	return utm, nil
}

func readMetadata(own written, others foreign.Wishes) (json.RawMessage, error) {
	if v := own.first("Metadata"); v != "" {
		return parseMetadata(v)
	}
	if len(others.Metadata) == 0 {
		return nil, nil
	}
	text, err := json.Marshal(others.Metadata)
	if err != nil || len(text) > maxMetadata {
		return nil, refuseControl("%s: the metadata has %d octets, %d are allowed", vendors, len(text), maxMetadata)
	}
	return text, nil
}

func readSendAt(own written, others foreign.Wishes, now time.Time) (time.Time, error) {
	if v := own.first("Send-At"); v != "" {
		return parseSendAt(v, now)
	}
	if others.SendAt == "" {
		return time.Time{}, nil
	}
	at, err := parseDate(others.SendAt)
	if err != nil {
		at, err = time.ParseInLocation(time.DateTime, others.SendAt, time.UTC)
	}
	switch {
	case err != nil:
		return time.Time{}, refuseControl("%s has a time to send at that cannot be read", vendors)
	case at.After(now.Add(maxAhead)):
		return time.Time{}, refuseControl("%s asks to send more than 30 days ahead", vendors)
	case !at.After(now):
		return time.Time{}, nil
	}
	return at.UTC(), nil
}
