package account_test

import (
	"testing"

	"github.com/postrider-mta/postrider/internal/account"
)

// TestMeasure proves that every name comes back, and that the most restrictive
// of two rules, whoever says which.
func TestMeasure(t *testing.T) {
	const (
		individual = account.MeasureIndividual
		aggregate  = account.MeasureAggregate
		hygiene    = account.MeasureHygiene
		none       = account.MeasureNone
	)
	for _, m := range []account.Measure{individual, aggregate, hygiene, none} {
		if got, err := account.ParseMeasure(m.String()); err != nil || got != m {
			t.Errorf("%s: %v, %v", m, got, err)
		}
		if m.Within(none) != none || m.Within(individual) != m || m.Within(m) != m || !individual.Allows(m) || !m.Allows(none) || !m.Allows(m) {
			t.Errorf("%s", m)
		}
	}
	if aggregate.Within(hygiene) != none || hygiene.Within(aggregate) != none {
		t.Error("aggregate and hygiene allow something together")
	}
	if aggregate.Allows(hygiene) || hygiene.Allows(aggregate) || aggregate.Allows(individual) || none.Allows(hygiene) {
		t.Error("allows what it does not")
	}
	for _, text := range []string{"", "person", "measure 4"} {
		if got, err := account.ParseMeasure(text); err == nil || got != none {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
}
