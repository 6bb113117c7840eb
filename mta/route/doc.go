// Package route finds out where mail for a domain goes: static routes, MX
// records with their fallback, and the addresses behind them. It knows DNS and
// no connection.
package route
