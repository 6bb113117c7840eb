// Package stats counts events: for each campaign, stream and tenant, by day and
// by link. It follows the event log with a cursor that it keeps in the same
// transaction as its counters, so that every event counts exactly once, and its
// counters stay when the events behind them expire.
//
// Nothing here names a person. What makes first opens and clicks known from
// repeated ones is a set of marks of message, place in the message and kind;
// docs/statistics.md says what that means.
package stats
