package route

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/miekg/dns"
)

// payloadSize passes without fragments nearly everywhere.
const payloadSize = 1232

// query tries every server twice.
func (r *resolver) query(ctx context.Context, q question) (answer, error) {
	failure := errors.New("no server was asked")
	for range 2 {
		for _, server := range r.servers {
			if ctx.Err() != nil {
				return answer{}, failure
			}
			reply, err := r.exchange(ctx, server.addr, q)
			if err == nil {
				var a answer
				if a, err = digest(q, reply); err == nil {
					a.secure = server.trusted && reply.AuthenticatedData
					return a, nil
				}
			}
			failure = err
		}
	}
	return answer{}, failure
}

// exchange asks one server, over TCP where UDP is too small, and without EDNS0
// where the server does not know it (RFC 6891 section 7).
func (r *resolver) exchange(ctx context.Context, server string, q question) (*dns.Msg, error) {
	message := new(dns.Msg).SetQuestion(dns.Fqdn(q.name), q.qtype)
	message.SetEdns0(payloadSize, false)
	// It asks whether the answer is authentic (RFC 6840 section 5.7).
	message.AuthenticatedData = true
	reply, err := r.overEither(ctx, server, message)
	if err == nil && (reply.Rcode == dns.RcodeFormatError || reply.Rcode == dns.RcodeNotImplemented) {
		message = new(dns.Msg).SetQuestion(dns.Fqdn(q.name), q.qtype)
		reply, err = r.overEither(ctx, server, message)
	}
	if err != nil {
		return nil, err
	}
	if reply.Rcode != dns.RcodeSuccess && reply.Rcode != dns.RcodeNameError {
		return nil, fmt.Errorf("name server answered %s", rcodeName(reply.Rcode))
	}
	return reply, nil
}

func rcodeName(rcode int) string {
	if name, ok := dns.RcodeToString[rcode]; ok {
		return name
	}
	return fmt.Sprintf("code %d", rcode)
}

func (r *resolver) overEither(ctx context.Context, server string, message *dns.Msg) (*dns.Msg, error) {
	reply, err := r.over(ctx, "udp", server, message)
	if reply != nil && reply.Truncated && isReplyTo(reply, message) {
		reply, err = r.over(ctx, "tcp", server, message)
	}
	if err != nil {
		return nil, err
	}
	if !isReplyTo(reply, message) {
		return nil, errors.New("name server answered another question")
	}
	return reply, nil
}

// isReplyTo reports whether a reply is one to message, in identifier and in
// question (RFC 5452 section 3).
func isReplyTo(reply, message *dns.Msg) bool {
	if !reply.Response || reply.Id != message.Id {
		return false
	}
	if len(reply.Question) == 0 {
		// Some servers leave the question out of a refusal.
		return reply.Rcode != dns.RcodeSuccess && reply.Rcode != dns.RcodeNameError
	}
	asked, got := message.Question[0], reply.Question[0]
	return len(reply.Question) == 1 && got.Qtype == asked.Qtype && got.Qclass == asked.Qclass &&
		strings.EqualFold(got.Name, asked.Name)
}

func (r *resolver) over(ctx context.Context, network, server string, message *dns.Msg) (*dns.Msg, error) {
	r.counters.queries.Add(1)
	ctx, cancel := context.WithTimeout(ctx, r.timeouts.Query)
	defer cancel()
	var dialer net.Dialer
	socket, err := dialer.DialContext(ctx, network, server)
	if err != nil {
		return nil, err
	}
	defer socket.Close()
	// Closing the socket is what ends a read when the resolver is closed.
	defer context.AfterFunc(ctx, func() { _ = socket.Close() })()
	client := dns.Client{Timeout: r.timeouts.Query}
	reply, _, err := client.ExchangeWithConnContext(ctx, message, &dns.Conn{Conn: socket})
	return reply, err
}
