package submission

import (
	"testing"

	"github.com/postrider-mta/postrider/internal/account"
)

// TestMeasureWish proves what a message may say of what is kept of its readers,
// and that a slip is not taken for leave to keep it.
func TestMeasureWish(t *testing.T) {
	for value, want := range map[string]account.Measure{
		"": account.MeasureIndividual, "individual": account.MeasureIndividual, "AGGREGATE": account.MeasureAggregate,
		"hygiene": account.MeasureHygiene, "none": account.MeasureNone,
	} {
		own := written{}
		if value != "" {
			own["Measure"] = []string{value}
		}
		if got, err := readMeasure(own); err != nil || got != want {
			t.Errorf("%q: %v, %v", value, got, err)
		}
	}
	if _, err := readMeasure(written{"Measure": []string{"anonymous"}}); err == nil {
		t.Error("took what it does not know")
	}
}
