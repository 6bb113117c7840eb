package daemon

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/postrider-mta/postrider/daemon/admin"
	"github.com/postrider-mta/postrider/daemon/admin/api"
	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/mta/delivery"
	"github.com/postrider-mta/postrider/mta/route"
	"github.com/postrider-mta/postrider/mta/shape"
	"github.com/postrider-mta/postrider/mta/source"
	"github.com/postrider-mta/postrider/queue"
)

// explainer answers the operator's questions of delivery.
type explainer struct{ *daemon }

var _ admin.Delivery = explainer{}

// routeWait bounds a look-up that an answer waits for.
const routeWait = 3 * time.Second

// Sites implements admin.Delivery.
func (x explainer) Sites() []api.Site {
	statuses := x.engine.Sites()
	sites := make([]api.Site, 0, len(statuses))
	for _, status := range statuses {
		sites = append(sites, presentSite(status))
	}
	return sites
}

// Site implements admin.Delivery.
func (x explainer) Site(name string) (api.SiteDetail, bool) {
	statuses := x.engine.Sites()
	i := slices.IndexFunc(statuses, func(s delivery.SiteStatus) bool { return s.Site == name })
	status := delivery.SiteStatus{Site: name, Throttles: x.throttlesOf(name)}
	if i >= 0 {
		status = statuses[i]
	}
	detail := api.SiteDetail{Site: presentSite(status)}
	limits := x.shaper.Limits(name)
	detail.MaxConnections, detail.MessagesPerConnection = limits.Connections, limits.MessagesPerConnection
	if limits.Rate.Messages > 0 {
		detail.Rate = fmt.Sprintf("%d in %v", limits.Rate.Messages, limits.Rate.Per)
	}
	for _, r := range status.Routes {
		detail.Routes = append(detail.Routes, api.SiteRoute{
			Source: r.Source, Hosts: r.Hosts, Connections: r.Connections, Idle: r.Idle, InFlight: r.Leased, Queues: r.Queues,
			LastFailure: failureText(r),
		})
	}
	return detail, i >= 0 || len(status.Throttles) > 0
}

func failureText(r delivery.RouteStatus) string {
	if !r.LastReply.IsZero() {
		return r.LastReply.String()
	}
	return r.LastReason
}

func presentSite(status delivery.SiteStatus) api.Site {
	site := api.Site{Site: status.Site}
	for _, route := range status.Routes {
		site.Queues += route.Queues
		site.Connections += route.Connections
		site.InFlight += route.Leased
	}
	for _, throttle := range status.Throttles {
		site.Throttles = append(site.Throttles, presentThrottle(throttle))
	}
	return site
}

// Throttles implements admin.Delivery.
func (x explainer) Throttles() []api.Throttle {
	all := []api.Throttle{}
	for _, t := range x.shaper.Throttles(time.Now()) {
		all = append(all, presentThrottle(t))
	}
	return all
}

func (x explainer) throttlesOf(site string) []shape.Throttle {
	all := x.shaper.Throttles(time.Now())
	return slices.DeleteFunc(all, func(t shape.Throttle) bool { return t.Site != site })
}

// Trace implements admin.Delivery.
func (x explainer) Trace(ctx context.Context, site string, yield func(api.TraceLine) error) error {
	return x.engine.Trace(ctx, site, func(l delivery.TraceLine) error {
		return yield(api.TraceLine{
			Time: l.Time.UTC(), Source: l.Source, Host: l.Host, Remote: l.Remote.String(), Sent: l.Sent, Text: l.Text,
		})
	})
}

// Lift implements admin.Delivery. Campaigns whose pauses at all sites end so are
// judged anew.
func (x explainer) Lift(site, name string) int {
	lifted := x.engine.Lift(site, name)
	if site == shape.AnySite && lifted > 0 && x.rates != nil {
		x.rates.Lifted(time.Now())
	}
	return lifted
}

func presentThrottle(t shape.Throttle) api.Throttle {
	presented := api.Throttle{
		Site: t.Site, Source: t.Source, Route: strings.TrimSpace(t.Route), Name: t.Name, Rule: t.Rule,
		Tenant: t.Tenant, Campaign: t.Campaign, Reason: t.Reason, Until: t.Until,
	}
	if t.Cause != (mail.Reply{}) {
		presented.Cause = &t.Cause
	}
	return presented
}

// Route implements admin.Delivery.
func (x explainer) Route(ctx context.Context, domain mail.Domain) api.Route {
	return x.route(ctx, domain, x.demand(queue.Key{Domain: domain}))
}

// route looks a domain's route up for mail with a demand.
func (x explainer) route(ctx context.Context, domain mail.Domain, demand route.Demand) api.Route {
	ctx, cancel := context.WithTimeout(ctx, routeWait)
	defer cancel()
	found, err := x.router.Route(ctx, domain)
	answer := presentRoute(found, err, demand)
	answer.Domain = string(domain)
	if answer.Error == "" {
		answer.Sources = x.candidates(answer.Site)
	}
	return answer
}

// presentRoute shows what a look-up found as mail with a demand meets it.
func presentRoute(found *route.Route, err error, demand route.Demand) api.Route {
	var failure *route.Error
	if errors.As(err, &failure) && demand.Waive {
		if left := failure.Waivable(demand); left != nil {
			found, err = left, nil
		}
	}
	switch {
	case err != nil && failure != nil:
		return api.Route{Error: failure.Reply.String(), Permanent: failure.Reply.Permanent()}
	case err != nil:
		return api.Route{Error: err.Error()}
	}
	answer := api.Route{Site: found.Site, Origin: "dns"}
	if found.Relay != nil {
		answer.Origin = "static"
	}
	for _, h := range found.Under(demand).Hosts {
		host := api.RouteHost{Name: h.Name, Preference: h.Preference, TLS: h.TLS.Floor.String(), TLSReason: h.TLS.Reason}
		for _, a := range h.Addrs {
			host.Addresses = append(host.Addresses, a.String())
		}
		answer.Hosts = append(answer.Hosts, host)
	}
	return answer
}

// candidates are the sources of the default pool, as a message to the site
// would find them.
func (x explainer) candidates(site string) []api.RouteSource {
	found, err := x.sources.Candidates(time.Now(), source.Request{Site: site})
	if err != nil {
		return nil
	}
	var all []api.RouteSource
	for _, c := range found {
		all = append(all, api.RouteSource{Name: c.Source.Name, EHLO: c.Source.EHLO, Share: c.Share, Reason: c.Reason, Until: c.Until})
	}
	return all
}

// Why implements admin.Delivery. Routes and throttles are looked up once for
// all that share them.
func (x explainer) Why(ctx context.Context, entries []queue.Entry, whys []api.Why) {
	throttles := map[string][]api.Throttle{}
	for _, t := range x.Throttles() {
		throttles[t.Site] = append(throttles[t.Site], t)
	}
	type way struct {
		domain mail.Domain
		demand route.Demand
	}
	routes := map[way]api.Route{}
	for i := range entries {
		e := &entries[i]
		key := queue.KeyOf(e.Message, &e.Recipient)
		w := way{key.Domain, x.demand(key).With(&e.Message.Envelope)}
		found, known := routes[w]
		if !known {
			found = x.route(ctx, w.domain, w.demand)
			routes[w] = found
		}
		whys[i].Throttles = append(throttlesOfCampaign(throttles[shape.AnySite], e.Message), throttles[found.Site]...)
		x.why(e, &found, &whys[i])
	}
}

// throttlesOfCampaign returns those at all sites that are the message's.
func throttlesOfCampaign(all []api.Throttle, m *queue.Message) (own []api.Throttle) {
	for _, t := range all {
		if t.Tenant == m.Tenant && t.Campaign == m.Campaign {
			own = append(own, t)
		}
	}
	return own
}

// why completes what one entry waits for.
func (x explainer) why(e *queue.Entry, found *api.Route, why *api.Why) {
	now := time.Now()
	key := queue.KeyOf(e.Message, &e.Recipient)
	why.Site = found.Site
	for _, h := range found.Hosts {
		why.Hosts = append(why.Hosts, h.Name)
	}
	opens := x.accounts.opens(key, now)
	switch {
	case e.Leased:
		why.State, why.Reasons = "sending", []string{"it is with a connection to " + cmp.Or(why.Site, "its site") + ", or waits for one"}
		why.Reasons = append(why.Reasons, throttleReasons(why.Throttles)...)
	case e.Held != "":
		why.State, why.Reasons = "held", []string{"held: " + e.Held}
	case opens.After(now) && opens.After(e.Due):
		why.State, why.Next = "window", opens
		why.Reasons = []string{fmt.Sprintf("stream %s of tenant %s sends again from %s", key.Stream, key.Tenant, clock(opens))}
	case e.Due.After(now):
		why.State, why.Next, why.Reasons = "later", e.Due, append([]string{laterReason(e)}, throttleReasons(why.Throttles)...)
	case found.Error != "":
		why.State, why.Reasons = "unroutable", []string{"no route: " + found.Error}
	case len(why.Throttles) > 0:
		why.State, why.Reasons = "throttled", throttleReasons(why.Throttles)
	default:
		why.State, why.Reasons = "due", []string{x.crowd(found.Site)}
	}
	if e.Attempts > 0 {
		why.Reasons = append(why.Reasons, lastAttempt(e))
	}
}

func clock(t time.Time) string { return t.Local().Format("Mon 2 Jan 15:04:05") }

func laterReason(e *queue.Entry) string {
	if e.Attempts == 0 {
		return "it is not to be sent before " + clock(e.Due)
	}
	return "it is tried again at " + clock(e.Due)
}

func lastAttempt(e *queue.Entry) string {
	text := fmt.Sprintf("attempt %d failed", e.Attempts)
	switch {
	case e.Last == nil:
	case e.Last.Reply != nil:
		text += ": " + e.Last.Reply.String()
	case e.Last.Reason != "":
		text += ": " + e.Last.Reason
	}
	return text
}

func throttleReasons(all []api.Throttle) []string {
	var reasons []string
	for _, t := range all {
		where := "site " + t.Site
		if t.Site == shape.AnySite {
			where = "all sites"
		}
		reason := fmt.Sprintf("%s, %s: %s", where, t.Name, t.Reason)
		if t.Cause != nil {
			reason += "; because of: " + t.Cause.String()
		}
		if !t.Until.IsZero() {
			reason += "; ends at " + clock(t.Until)
		}
		reasons = append(reasons, reason)
	}
	return reasons
}

// crowd says what is before a recipient that nothing but capacity holds back.
func (x explainer) crowd(site string) string {
	detail, ok := x.Site(site)
	if !ok {
		return "it is due, and about to be taken up"
	}
	return fmt.Sprintf("it is due; site %s has %d of %d connections open and %d recipients of %d queues before or beside it",
		site, detail.Connections, detail.MaxConnections, detail.InFlight, detail.Queues)
}
