// Package tracking serves the links that the daemon puts into mail: it
// redirects clicks, answers for the pixel and takes unsubscriptions. What a
// request means is in its token, so nothing is looked up, and a token that the
// daemon did not make leads nowhere.
//
// Render puts those links into a message; its counterpart is Tracker.
package tracking
