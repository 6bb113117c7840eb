package report

import "strings"

// readOriginal picks what identifies the message that came back.
func readOriginal(header Fields, r Report) Original {
	o := Original{
		Header:         header,
		MessageID:      unbracket(header.Get("Message-ID")),
		ReturnPath:     unbracket(header.Get("Return-Path")),
		FeedbackID:     header.Get("Feedback-ID"),
		CFBLAddress:    header.Get("CFBL-Address"),
		CFBLFeedbackID: header.Get("CFBL-Feedback-ID"),
	}
	for _, name := range []string{"X-Envelope-From", "X-Original-Return-Path", "X-Sender"} {
		o.ReturnPath = orElse(o.ReturnPath, unbracket(header.Get(name)))
	}
	if r.Feedback != nil {
		o.ReturnPath = orElse(unbracket(r.Feedback.OriginalMailFrom), o.ReturnPath)
	}
	return o
}

// unbracket returns what stands between angle brackets, or all of it.
func unbracket(value string) string {
	value = strings.TrimSpace(value)
	if _, inner, ok := strings.Cut(value, "<"); ok {
		value, _, _ = strings.Cut(inner, ">")
	}
	return strings.TrimSpace(value)
}
