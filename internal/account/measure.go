package account

import (
	"fmt"
	"strings"
)

// Measure is what may be kept of what readers do: a set of permissions. What
// several say together is what all of them allow: see Within.
type Measure uint8

const (
	// MeasureAggregate counts, and ties nothing to a person.
	MeasureAggregate Measure = 1 << iota
	// MeasureHygiene keeps of a person the day of the last opening alone.
	MeasureHygiene
	measurePerson
	// MeasureNone keeps nothing; it is what an empty Measure says.
	MeasureNone Measure = 0
	// MeasureIndividual ties openings and clicks to a person.
	MeasureIndividual = MeasureAggregate | MeasureHygiene | measurePerson
)

// measures are those that have a name.
func measures() []Measure {
	return []Measure{MeasureIndividual, MeasureAggregate, MeasureHygiene, MeasureNone}
}

// ParseMeasure reads individual, aggregate, hygiene or none.
func ParseMeasure(s string) (Measure, error) {
	for _, m := range measures() {
		if strings.EqualFold(s, m.String()) {
			return m, nil
		}
	}
	return MeasureNone, fmt.Errorf("%q is not individual, aggregate, hygiene or none", s)
}

// String is the inverse of ParseMeasure.
func (m Measure) String() string {
	switch m {
	case MeasureIndividual:
		return "individual"
	case MeasureAggregate:
		return "aggregate"
	case MeasureHygiene:
		return "hygiene"
	case MeasureNone:
		return "none"
	}
	return fmt.Sprintf("measure %d", uint8(m))
}

// Within returns what both allow. Of aggregate and hygiene neither allows the
// other, so that together they are none.
func (m Measure) Within(limit Measure) Measure { return m & limit & MeasureIndividual }

// Without returns what one allows and another does not.
func (m Measure) Without(other Measure) Measure { return m &^ other }

// Allows reports whether all that another one keeps may be kept.
func (m Measure) Allows(other Measure) bool { return other&^m == 0 }
