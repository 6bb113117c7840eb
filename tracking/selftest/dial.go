package selftest

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"time"
)

// lookupTimeout is what one name server may take.
const lookupTimeout = 3 * time.Second

// dialer opens connections to hosts that the name servers find; without any it
// asks the system.
func dialer(servers []string) func(ctx context.Context, network, address string) (net.Conn, error) {
	plain := &net.Dialer{}
	if len(servers) == 0 {
		return plain.DialContext
	}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		host, port, err := net.SplitHostPort(address)
		if err != nil {
			return nil, err
		}
		found, err := lookup(ctx, servers, host)
		var failures []error
		for _, addr := range found {
			conn, err := plain.DialContext(ctx, network, net.JoinHostPort(addr, port))
			if err == nil {
				return conn, nil
			}
			failures = append(failures, err)
		}
		return nil, errors.Join(append(failures, err)...)
	}
}

// lookup returns the addresses of a host. A server that knows the host not is
// believed; for one that does not answer the next is asked.
func lookup(ctx context.Context, servers []string, host string) (found []string, err error) {
	if _, err := netip.ParseAddr(host); err == nil {
		return []string{host}, nil
	}
	for _, server := range servers {
		found, err = ask(ctx, server, host)
		var failure *net.DNSError
		if err == nil || errors.As(err, &failure) && failure.IsNotFound {
			return found, err
		}
	}
	return found, err
}

func ask(ctx context.Context, server, host string) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	resolver := &net.Resolver{
		PreferGo: true,
		Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, server)
		},
	}
	return resolver.LookupHost(ctx, host)
}
