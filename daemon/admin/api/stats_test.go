package api_test

import (
	"encoding/json"
	"testing"

	"github.com/postrider-mta/postrider/daemon/admin/api"
)

// TestFigures proves that a figure is the same on both sides of the wire.
func TestFigures(t *testing.T) {
	for _, test := range []struct {
		figure     api.Figure
		text, wire string
	}{
		{api.Figure{}, "0", "0"},
		{api.Figure{Count: 17}, "17", "17"},
		{api.Figure{Below: 10}, "<10", `"\u003c10"`},
		{api.Figure{Count: 70, AtLeast: true}, "70+", `"70+"`},
		{api.Figure{AtLeast: true}, "*", `"*"`},
	} {
		if got := test.figure.String(); got != test.text {
			t.Errorf("%+v reads %s", test.figure, got)
		}
		b, err := test.figure.MarshalJSON()
		var back api.Figure
		if err != nil || string(b) != test.wire || json.Unmarshal(b, &back) != nil || back != test.figure {
			t.Errorf("%+v became %s and %+v, %v", test.figure, b, back, err)
		}
	}
	for _, wrong := range []string{`"70"`, `"<x"`, `"+"`, `""`, "true", `"x+"`, "1.5"} {
		var f api.Figure
		if err := json.Unmarshal([]byte(wrong), &f); err == nil {
			t.Errorf("%s became %+v", wrong, f)
		}
	}
}
