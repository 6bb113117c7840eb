// Package watch follows the event log and knows at any time which share of the
// mail bounced or was complained about: of each tenant, stream, campaign and
// provider, over windows that slide. A share that passes a threshold is a
// Decision, which Options.Act carries out: a warning, a pause or a hold.
//
// All judging is by the times of the events, so that the same events lead to the
// same decisions whenever they are read. docs/rates.md is the operator's view.
package watch
