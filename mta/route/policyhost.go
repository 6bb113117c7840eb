package route

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"time"

	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/mta/route/sts"
)

func (r *Router) newSTS(p Policies) *sts.Cache {
	return sts.New(sts.Options{
		LookupTXT: r.LookupTXT,
		Fetcher:   sts.NewHTTPS(sts.HTTPSOptions{Dial: r.dialPolicyHost, RootCAs: p.RootCAs, Port: p.PolicyPort}),
		Store:     p.STSStore, Patience: p.Patience, Logger: p.Logger,
	})
}

// dialPolicyHost connects to an address that mail could go to: whoever writes
// a name into DNS must not reach what is inside.
func (r *Router) dialPolicyHost(ctx context.Context, network, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	name, err := mail.ParseDomain(host)
	if err != nil {
		return nil, err
	}
	at, err := r.beginAddrs(name).wait(ctx, r.maxAddrs)
	addrs, err := r.filter(at.addrs, err)
	if err != nil {
		return nil, err
	}
	return dialFirst(ctx, network, addrs, port)
}

// dialFirst tries the addresses in turn, none for so long that there is no time
// for the next.
func dialFirst(ctx context.Context, network string, addrs []netip.Addr, port string) (net.Conn, error) {
	dialer := net.Dialer{Timeout: 10 * time.Second}
	var errs []error
	for _, addr := range addrs {
		conn, err := dialer.DialContext(ctx, network, net.JoinHostPort(addr.String(), port))
		if err == nil {
			return conn, nil
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}
