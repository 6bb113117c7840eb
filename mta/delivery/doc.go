// Package delivery takes what is due from the queue and brings it to the mail
// exchangers: it groups queues by site, shares each site's capacity among
// them, and leads every recipient through the stages gate, render, sign, send
// and settle.
package delivery
