// Package hit tells the opens and clicks of people from those of machines, and
// says by what. It looks at one request, and at what else the same recipient
// did at about that time. It never asks anybody, and what it remembers is
// bounded: a table overwrites what is oldest.
//
// Whom it cannot tell for a machine it takes for a person.
package hit
