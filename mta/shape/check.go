package shape

import "github.com/postrider-mta/postrider/internal/mail"

// check tries the samples of the rules that the document names: a rule that
// cannot match its own, or that one before it keeps from ever acting, is a
// mistake.
func (p *Providers) check(d *document) {
	for i := range p.list {
		one := &p.list[i]
		for j := range one.Rules {
			p.checkRule(d, &one.Rules[j], one)
		}
	}
	for i := range p.general {
		p.checkRule(d, &p.general[i], nil)
	}
}

func (p *Providers) checkRule(d *document, r *Rule, owner *Provider) {
	if r.path == "" {
		return
	}
	if r.Exchanger != "" {
		if found, ok := p.ofExchanger(r.Exchanger); owner != nil && (!ok || found != owner) {
			d.wrong(join(r.path, "sample_mx"), "expected a mail exchanger of %s, not %q", owner.Name, r.Exchanger)
		}
	}
	for _, sample := range r.Samples {
		if !r.fits(sample) {
			d.wrong(join(r.path, "sample"), "the rule does not match %q", sample.String())
			continue
		}
		if other := p.shadow(owner, r, sample); other != nil {
			d.wrong(join(r.path, "sample"), "the rule %s stands before and takes %q", other, sample.String())
		}
	}
}

// shadow returns the rule that keeps r from acting on a reply, if one does:
// one before it that acts at once. What it says of categories cannot be known
// here.
func (p *Providers) shadow(owner *Provider, r *Rule, reply mail.Reply) *Rule {
	for _, other := range p.rules(owner) {
		if other == r {
			return nil
		}
		if len(other.Categories) == 0 && other.fits(reply) && other.After == 1 {
			return other
		}
	}
	return nil
}
