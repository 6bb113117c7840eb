package daemon

import (
	"context"
	"fmt"
	"math"
	"net"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"github.com/postrider-mta/postrider/daemon/admin/api"
	"github.com/postrider-mta/postrider/daemon/config"
	"github.com/postrider-mta/postrider/mta/smtpclient/proxy"
	"github.com/postrider-mta/postrider/mta/source"
)

// egress is from where mail leaves, and through what, as a reload can change
// it.
type egress struct {
	options source.Options
	proxies map[string]*proxy.Proxy
}

// proxies are those in force, by the names of their sources.
type proxies struct {
	current atomic.Pointer[map[string]*proxy.Proxy]
}

// dial returns what opens a source's connections; nil for straight ones.
func (p *proxies) dial(name string) func(ctx context.Context, network, address string) (net.Conn, error) {
	if through := (*p.current.Load())[name]; through != nil {
		return through.Dial
	}
	return nil
}

func newEgress(c *config.Config) (*egress, error) {
	e := &egress{
		options: source.Options{Default: c.Delivery.Pool, Block: c.Delivery.RecipientsPerTransaction},
		proxies: map[string]*proxy.Proxy{},
	}
	for i := range c.Sources {
		s := &c.Sources[i]
		e.options.Sources = append(e.options.Sources, source.Source{
			Name: s.Name, IPv4: s.IPv4, IPv6: s.IPv6, EHLO: s.EHLOName, Proxy: s.Proxy,
		})
		if s.Proxy == "" {
			continue
		}
		through, err := newProxy(s)
		if err != nil {
			return nil, fmt.Errorf("proxy of source %s: %w", s.Name, err)
		}
		e.proxies[s.Name] = through
	}
	for _, p := range c.Pools {
		pool := source.Pool{Name: p.Name, Tenants: p.Tenants}
		for _, m := range p.Sources {
			pool.Members = append(pool.Members, source.Member{Source: m.Name, Weight: m.Weight})
		}
		e.options.Pools = append(e.options.Pools, pool)
	}
	for _, t := range c.Tenants {
		if t.Pool != "" {
			e.options.Assignments = append(e.options.Assignments, source.Assignment{Tenant: t.Name, Pool: t.Pool})
		}
		for _, s := range t.Streams {
			if s.Pool != "" {
				e.options.Assignments = append(e.options.Assignments, source.Assignment{Tenant: t.Name, Stream: s.Name, Pool: s.Pool})
			}
		}
	}
	_, err := source.New(e.options) // tells what is wrong before anything changes
	return e, err
}

func newProxy(s *config.Source) (*proxy.Proxy, error) {
	protocols := map[string]proxy.Protocol{config.ProxySOCKS5: proxy.SOCKS5, config.ProxyHAProxy: proxy.PROXYv2}
	name, address := s.ProxyAddress()
	options := proxy.Options{
		Protocol: protocols[name], Address: address, Username: s.ProxyUsername, IPv4: s.IPv4, IPv6: s.IPv6, Bind: s.ProxyBind,
	}
	if s.ProxyPasswordFile != "" {
		password, err := s.ProxyPasswordFile.Read()
		if err != nil {
			return nil, err
		}
		options.Password = password.Reveal()
	}
	return proxy.New(options)
}

// apply puts other sources in force. It cannot fail: the options were tried.
func (e *egress) apply(d *daemon) {
	d.proxies.current.Store(&e.proxies)
	if d.sources != nil {
		_ = d.sources.Configure(e.options)
		return
	}
	options := e.options
	options.Room = func(from, site string) bool { return !d.isNew(from) || d.shaper.Room(time.Now(), from, site) > 0 }
	options.Warming = func(from, site string) bool {
		return d.isNew(from) && d.shaper.Room(time.Now(), from, site) < math.MaxInt
	}
	d.sources, _ = source.New(options)
}

// isNew reports that a source follows the schedules of warm-up.
func (d *daemon) isNew(name string) bool {
	return slices.ContainsFunc(d.config.Load().Sources, func(s config.Source) bool { return s.Name == name && s.WarmUp })
}

// Sources implements admin.Delivery.
func (x explainer) Sources() []api.Source {
	now := time.Now()
	list := []api.Source{}
	for _, s := range x.sources.Sources() {
		made := api.Source{Name: s.Name, EHLO: s.EHLO, Proxied: s.Proxy != ""}
		for _, a := range []netip.Addr{s.IPv4, s.IPv6} {
			if a.IsValid() {
				made.Addresses = append(made.Addresses, a.String())
			}
		}
		for _, w := range x.shaper.WarmUps(now) {
			if w.Source == s.Name {
				made.WarmUp = append(made.WarmUp, w.Words)
			}
		}
		list = append(list, made)
	}
	for _, held := range x.sources.Suspensions(now) {
		i := slices.IndexFunc(list, func(s api.Source) bool { return s.Name == held.Source })
		if i >= 0 {
			list[i].Suspensions = append(list[i].Suspensions, api.Suspension{
				Site: held.Site, Families: held.Families.String(), Name: held.Name, Reason: held.Reason, Until: held.Until,
			})
		}
	}
	return list
}

// LiftSource implements admin.Delivery.
func (x explainer) LiftSource(name, site string) int {
	if name == "" {
		return 0
	}
	return x.sources.Lift(name, site, "")
}
